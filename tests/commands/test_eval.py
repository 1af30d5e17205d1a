"""`edgemed eval` and `edgemed inspect --html` on a tiny model in two precisions."""

import errno
import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgemed.cli import main
from edgemed.convert import convert
from edgemed.evaluation.readings import _rounds
from edgemed.evaluation.report import evaluate
from edgemed.model_file import open_model
from edgemed.quant.plan import Plan
from testing.checkpoints import Shape, make_checkpoint
from testing.engine_probe import Probe, run_probes
from tests.evaluation.test_report import check_page

Jsonl = Callable[..., Path]
SMALL = ("--passage", "160", "--threads", "1")
PLAIN: dict[str, Any] = {"passage": 64, "questions": 1, "ram_bytes": None, "threads": 1, "scratch": None}
PLAIN["on_progress"] = lambda *_: None
NOTES = [{"text": f"Patient {n} takes 5 mg of metoprolol twice daily, no cough <b>&."} for n in range(7)]
CHATS = [{"question": f"发热{n}天怎么办？", "answer": "多喝水，休息，不要用药。", "split": "eval"} for n in range(3)]
UNUSED = [{"text": "Left out.", "split": "train"}]
CHOICES = [{"question": f"Which {n}?", "options": {"A": "x", "B": "y", "C": "z"}, "answer": "B"} for n in range(4)]


@pytest.fixture
def data(jsonl: Jsonl) -> list[Path]:
    return [jsonl("notes", *NOTES, *UNUSED), jsonl("zh", *CHATS), jsonl("mcq", *CHOICES)]


@pytest.mark.slow
def test_report_card_belongs_to_its_weights(
    reference: Path, coarse: Path, jsonl: Jsonl, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stored = tmp_path / "card.json"
    arguments = (coarse, "--reference", reference, "--data", jsonl("notes", *NOTES), *SMALL, "-o", stored)
    assert main(["eval", *map(str, arguments)]) == 0
    capsys.readouterr()
    assert main(["inspect", str(coarse), "--card", str(stored)]) == 0
    assert (
        f"same next token {json.loads(stored.read_text())['overall']['top1_agreement']:.1%}" in capsys.readouterr().out
    )
    assert main(["inspect", str(coarse), "--card", str(stored), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["report_card"]
    assert found["digest"] == hashlib.sha256(stored.read_bytes()).hexdigest()
    assert found["reference"]["weights_digest"] == open_model(reference).weights_digest
    other = tmp_path / "other.json"
    other.write_text('{"model": []}')
    written = json.loads(stored.read_text())
    huge, hostile = tmp_path / "huge.json", tmp_path / "hostile.json"
    huge.write_text(json.dumps(written | {"overall": written["overall"] | {"kl_mean": 10**400}}))
    hostile.write_text(json.dumps(written | {"date": "2026\x1b[2J"}))
    assert main(["inspect", str(coarse), "--card", str(hostile)]) == 0
    assert "2026\\x1b[2J" in capsys.readouterr().out, "control characters are escaped"
    for model, card, sentence in (
        (reference, stored, "belongs to other weights"),
        (coarse, other, "is not a report card"),
        (coarse, huge, "is not a report card"),
        (coarse, tmp_path / "none.json", "No such file"),
    ):
        assert main(["inspect", str(model), "--card", str(card)]) == 1
        printed = capsys.readouterr()
        assert sentence in printed.err
        assert (printed.err.count("\n"), printed.out) == (1, "")


@pytest.mark.slow
def test_report_card_content(
    reference: Path, coarse: Path, data: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page, stored = tmp_path / "card.html", tmp_path / "card.json"
    outputs = ("-o", stored, "--html", page, "--json")
    arguments = (coarse, "--reference", reference, "--data", *data, *SMALL, *outputs)
    assert main(["eval", *map(str, arguments)]) == 0
    card = json.loads(capsys.readouterr().out)
    assert json.loads(stored.read_text()) == card
    assert set(card["domains"]) == {"notes", "zh"}
    assert set(card["languages"]) == {"en", "zh"}
    overall = card["overall"]
    assert overall["passages"] == 10
    assert overall["kl_mean"] > 1e-3
    assert overall["kl_median"] <= overall["kl_p99"] <= overall["kl_max"]
    assert 0 < overall["top1_agreement"] < 1
    assert 0 < card["dose_tokens"]["tokens"] < overall["tokens"]
    assert sum(card["histogram"]["tokens"]) == overall["tokens"]
    assert sum(found["tokens"] for found in card["domains"].values()) == overall["tokens"]
    assert card["multiple_choice"]["mcq"]["questions"] == 4
    assert card["multiple_choice"]["mcq"]["at_chance"] is True
    shown = "".join(piece for piece, _ in card["worst_passages"][0]["pieces"])
    assert any(shown in row["text"] for row in NOTES) or shown.startswith("发热")
    text = page.read_text("utf-8")
    check_page(text)
    assert "flips mean nothing" in text
    assert "Left out." not in text
    assert list(tmp_path.glob("*.partial")) == []


@pytest.mark.slow
def test_comparison_with_itself_is_zero_in_any_number_of_rounds(
    reference: Path, coarse: Path, data: list[Path], tmp_path: Path
) -> None:
    options = PLAIN | {"tokens": 10_000, "passage": 160, "questions": 2, "scratch": tmp_path}
    model = open_model(reference)
    same = evaluate(model, model, data, **options)
    assert same["overall"]["kl_max"] < 1e-6
    assert same["overall"]["top1_agreement"] == 1
    assert same["multiple_choice"]["mcq"]["flips"] == 0
    assert same["multiple_choice"]["mcq"]["questions"] == 2
    room = 200 * 2 * model.hparams.n_vocab
    once, rounds = (evaluate(open_model(coarse), model, data[:1], **options, room_bytes=r) for r in (1 << 40, room))
    assert once | {"date": rounds["date"]} == rounds  # midnight may pass between them
    assert list(tmp_path.glob("edgemed-*")) == []


@pytest.mark.slow
def test_divergence_matches_the_logits(reference: Path, coarse: Path, jsonl: Jsonl, tmp_path: Path) -> None:
    """The divergence equals the formula, applied to logits that the engine computes in another way."""
    text = "Take 5 mg twice daily with food."
    card = evaluate(
        open_model(coarse),
        open_model(reference),
        [jsonl("one", {"text": text})],
        **PLAIN | {"tokens": 1000, "scratch": tmp_path},
    )
    from tokenizers import Tokenizer

    ids = _ids(reference, text, Tokenizer)
    options: dict[str, Any] = {"kv_type": "f16", "flash_attn": True, "threads": 1}
    p, q = (
        run_probes(tmp_path, Probe(str(path), tuple(ids[:-1]), **options))[0].logits.astype(np.float64)
        for path in (reference, coarse)
    )
    p, q = (
        x - np.log(np.exp(x - x.max(1, keepdims=True)).sum(1, keepdims=True)) - x.max(1, keepdims=True) for x in (p, q)
    )
    expected = (np.exp(p) * (p - q)).sum(axis=1)
    assert card["overall"]["tokens"] == len(ids) - 1
    assert card["overall"]["kl_mean"] == pytest.approx(expected.mean(), rel=1e-3)
    assert card["overall"]["kl_max"] == pytest.approx(expected.max(), rel=1e-3)
    at, following = np.arange(len(ids) - 1), np.array(ids[1:])
    assert card["overall"]["perplexity_ratio"] == pytest.approx(
        np.exp((p[at, following] - q[at, following]).mean()), rel=1e-3
    )


def _ids(model: Path, text: str, tokenizer: Any) -> list[int]:
    folder = next(model.parent.parent.glob("checkpoint*"))
    ids: list[int] = tokenizer.from_file(str(folder / "tokenizer.json")).encode(text, add_special_tokens=False).ids
    return ids


@pytest.mark.slow
def test_refusals(
    reference: Path,
    data: list[Path],
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = make_checkpoint(tmp_path_factory.mktemp("other"), Shape(num_hidden_layers=2))
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    vocabulary = tokenizer["model"]["vocab"]
    first, second = sorted(vocabulary, key=vocabulary.get)[:2]
    vocabulary[first], vocabulary[second] = vocabulary[second], vocabulary[first]
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    other = tmp_path / "other.gguf"
    convert(str(folder), other, Plan.uniform(8.0))
    (tmp_path / "empty.jsonl").write_text("")
    (tmp_path / "short.txt").write_text("a")
    for arguments, sentence in (
        ((other, "--reference", reference, "--data", *data), "different tokenizers"),
        ((reference, "--reference", reference, "--data", tmp_path / "empty.jsonl"), "has no texts of the split"),
        ((reference, "--reference", reference, "--data", tmp_path / "short.txt"), "too short"),
        ((reference, "--reference", reference, "--data", *data, "--questions", "0"), "--questions 0"),
        ((reference, "--reference", reference, "--data", *data, "--html", other), "exists already"),
        ((reference, "--reference", tmp_path / "none.gguf", "--data", *data), "no model file"),
    ):
        capsys.readouterr()
        code = main(["eval", *map(str, arguments), *SMALL])
        printed = capsys.readouterr()
        assert code in (1, 2)
        assert sentence in printed.err
        assert (printed.err.count("\n"), printed.out) == (1, "")


@pytest.mark.slow
@pytest.mark.parametrize("command", ["eval", "eval its reference", "calibrate"])
def test_a_model_that_computes_nan_is_neither_evaluated_nor_calibrated(
    command: str,
    checkpoint: Path,
    reference: Path,
    data: list[Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A card of NaN cannot be rendered, and statistics of NaN are refused when they are loaded."""
    broken, out = tmp_path / "broken.gguf", tmp_path / "out"
    convert(str(checkpoint), broken, Plan.uniform(8.0), layout="llama.cpp")  # without checksums
    norm = open_model(broken).tensors["output_norm.weight"]
    with broken.open("r+b") as file:
        file.seek(norm.offset)
        file.write(np.full(norm.nbytes // 4, np.nan, np.float32).tobytes())
    model, judge = (reference, broken) if command == "eval its reference" else (broken, reference)
    words: tuple[str | Path, ...] = ("eval", model, "--reference", judge, "--data", data[0], "-o", out, *SMALL)
    if command == "calibrate":
        words = ("calibrate", broken, data[0], "-o", out, "--effects", "0", *SMALL)
    assert main([*map(str, words)]) == 1
    assert capsys.readouterr().err.startswith("edgemed: The model computed NaN or infinite logits;")
    assert not out.exists()


@pytest.mark.slow
def test_texts_longer_than_a_passage_are_split(reference: Path, tmp_path: Path) -> None:
    (tmp_path / "long.txt").write_text("A sentence of a long text about nothing. " * 60)
    model = open_model(reference)
    card = evaluate(model, model, [tmp_path / "long.txt"], **PLAIN | {"tokens": 300})
    assert card["overall"]["passages"] == 5
    assert card["overall"]["tokens"] == 5 * 63


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [([], [(0, 0)]), ([3, 3, 3], [(0, 2), (2, 3)]), ([9, 1, 9], [(0, 1), (1, 2), (2, 3)]), ([6], [(0, 1)])],
)
def test_rounds_fit_the_available_space(sizes: list[int], expected: list[tuple[int, int]]) -> None:
    assert _rounds(sizes, 7) == expected


@pytest.mark.slow
def test_inspect_html_shows_the_plan(
    reference: Path, coarse: Path, jsonl: Jsonl, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    statistics, page = tmp_path / "s.npz", tmp_path / "plan.html"
    texts = jsonl("notes", *NOTES)
    assert main(["calibrate", str(reference), str(texts), "-o", str(statistics), *SMALL]) == 0
    arguments = ["inspect", str(coarse), "--html", str(page), "--calibration", str(statistics)]
    assert main(arguments) == 0
    text = page.read_text("utf-8")
    check_page(text)
    experts = open_model(coarse).experts
    assert text.count("<title>layer ") == experts.type[..., 0].size
    assert "gate Q2_K, up Q2_K, down Q2_K;" in text
    assert "sensitivity" in text
    assert main(arguments) == 2  # the output already exists
    assert main([*arguments, "--overwrite"]) == 0
    assert main(["inspect", str(coarse), "--calibration", str(statistics)]) == 2
    capsys.readouterr()


@pytest.mark.slow
def test_full_disk_does_not_lose_the_result(
    reference: Path, jsonl: Jsonl, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    card, texts = tmp_path / "card.json", jsonl("notes", *NOTES)
    words = ["eval", str(reference), "--reference", str(reference), "--data", str(texts), "-o", str(card), *SMALL]
    with open("/dev/full", "w") as full, monkeypatch.context() as patch:  # noqa: PTH123 - not a regular file
        patch.setattr("sys.stdout", full)
        assert main(words) == 1
    assert json.loads(card.read_text())["overall"]["kl_max"] < 1e-6
    assert "No space left on device: standard output" in capsys.readouterr().err

    def full_disk(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", full_disk)
        assert main([*words, "--overwrite"]) == 1
    printed = capsys.readouterr()
    assert "KL mean" in printed.out
    assert printed.err == f"edgemed: {card} cannot be written: No space left on device.\n"
    assert json.loads(card.read_text())["overall"]["kl_max"] < 1e-6
