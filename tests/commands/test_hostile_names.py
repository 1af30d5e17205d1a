"""Hostile names: file names that are not UTF-8, and control characters that would reach the terminal."""

import json
import os
import shutil
from pathlib import Path

import pytest

from edgemed.characters import UNSEEN
from edgemed.cli import main
from edgemed.errors import CalibrationError, ModelFileError, PlanError, TextsError
from edgemed.evaluation.cards import read_card
from edgemed.model_file import keys, open_model
from edgemed.quant.calibration import read_calibration
from edgemed.quant.plan import Plan
from edgemed.tui.session import ChatSession
from testing.gguf_bytes import Kind, small_model
from testing.hostile import LAYOUTS, Layout

SMALL = ("--passage", "64", "--threads", "1")
HOSTILE = "\x1b]0;owned\x07\u202e\u3164\u2800"
ROW = {"text": "The patient has had a cough for ten days and takes 5 mg of it."}


def no_text(folder: Path, name: bytes) -> Path:
    return Path(os.fsdecode(os.fsencode(folder) + b"/" + name))


def is_harmless(text: str) -> bool:
    return all((character.isprintable() and character not in UNSEEN) or character == "\n" for character in text)


@pytest.mark.slow
def test_non_utf8_file_names_are_read_written_and_printed(
    reference: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, texts, plain, card, page, statistics, imatrix = (
        no_text(tmp_path, b"\xff\xfe" + suffix)
        for suffix in (b".gguf", b".jsonl", b".txt", b".json", b".html", b".npz", b".im")
    )
    shutil.copy(reference, model)
    texts.write_text((json.dumps(ROW | {"domain": HOSTILE}) + "\n") * 3)
    plain.write_text(ROW["text"])
    for words in (
        ("calibrate", model, texts, plain, "-o", statistics, "--imatrix", imatrix, "--effects", "0", *SMALL),
        ("eval", model, "--reference", reference, "--data", texts, plain, "-o", card, "--html", page, *SMALL),
        ("inspect", model, "--card", card, "--html", page, "--overwrite", "--calibration", statistics),
        ("verify", model),
    ):
        assert main([*map(str, words)]) == 0, capsys.readouterr().err
        printed = capsys.readouterr()
        assert is_harmless(printed.out)
        assert printed.err == ""
    found = json.loads(card.read_text("utf-8"))
    assert set(found["domains"]) == {HOSTILE, "\\xff\\xfe"}
    assert found["method"]["data"] == [texts.name, plain.name]
    read_calibration(imatrix, open_model(model).hparams)
    assert main(["eval", str(model), "--reference", str(reference), "--data", str(texts), "--json", *SMALL]) == 0
    assert is_harmless(capsys.readouterr().out)


def test_control_characters_in_a_model_are_escaped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gguf = small_model("edgemed")
    for key in ("general.name", "edgemed.source.repository", "edgemed.source.revision", "edgemed.source.gguf"):
        gguf.set_key(key, Kind.STRING, HOSTILE)
    path = tmp_path / f"{HOSTILE}.gguf"
    path.write_bytes(gguf.encode())
    for verb in ("inspect", "verify"):
        assert main([verb, str(path)]) == 0
        printed = capsys.readouterr()
        assert is_harmless(printed.out)
        assert "\\x1b]0;owned\\x07\\u202e\\u3164\\u2800" in printed.out
        assert main([verb, str(path), "--json"]) == 0
        assert is_harmless(capsys.readouterr().out)


TOKENIZER = ("model", "pre", "tokens", "merges", "chat_template", "bos_token_id")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_an_escape_sequence_in_any_key_never_reaches_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], layout: Layout
) -> None:
    """In the value of every key that a header has or edgemed knows, as text and in a list, and in a key's name."""
    path = tmp_path / "m.gguf"
    known = [*small_model(layout).keys, *keys.TEXTS, keys.INTENDED_USE, keys.FORMAT_VERSION, keys.HEADER_CHECKSUM]
    known += [keys.DENSE_CHECKSUMS, keys.EXPERT_CHECKSUMS, keys.EXPERT_TOKENS, keys.END_OF_GENERATION_IDS]
    known += [f"tokenizer.ggml.{name}" for name in TOKENIZER] + ["tokenizer.chat_template", HOSTILE]
    opened = 0
    for key in known:
        for kind, value in ((Kind.STRING, HOSTILE), (Kind.ARRAY, (Kind.STRING, [HOSTILE, HOSTILE]))):
            gguf = small_model(layout)
            gguf.set_key(key, kind, value)
            path.write_bytes(gguf.encode())
            for words in (["inspect"], ["inspect", "--json"], ["verify"]):
                code = main([words[0], str(path), *words[1:]])
                printed = capsys.readouterr()
                assert is_harmless(printed.out + printed.err), key
                assert code in (0, 1)
                opened += code == 0
    assert opened > len(known)  # most keys do not keep a file from opening


@pytest.mark.parametrize("digest", [HOSTILE + "0" * 52, "0" * 63, "0" * 65, "G" * 64, "A" * 64, "", "\u0660" * 64])
@pytest.mark.parametrize("key", keys.DIGESTS)
def test_a_digest_of_another_kind_is_refused(tmp_path: Path, key: str, digest: str) -> None:
    gguf = small_model("edgemed")
    gguf.set_key(key, Kind.STRING, digest)
    (tmp_path / "m.gguf").write_bytes(gguf.encode())
    with pytest.raises(ModelFileError, match=rf"The model file's {key} is not a SHA-256 in hexadecimal"):
        open_model(tmp_path / "m.gguf")


def test_the_chats_header_shows_nothing_raw() -> None:
    session = ChatSession(lambda *_: None, HOSTILE, HOSTILE, "demonstration")  # type: ignore[arg-type]
    assert is_harmless(session.header)
    assert "⟨U+001B⟩" in session.header


@pytest.mark.parametrize(
    "words",
    [
        [HOSTILE],
        ["inspect", "m.gguf", HOSTILE],
        ["inspect", "m.gguf", f"--{HOSTILE}"],
        ["convert", "a", "-o", "b", "--bits", HOSTILE],
        ["convert", "a", "-o", "b", "--layout", HOSTILE],
        ["chat", "m.gguf", "--ram", HOSTILE],
        ["inspect", HOSTILE],
    ],
)
def test_hostile_arguments_are_escaped(capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    try:
        code = main(words)
    except SystemExit as ended:
        code = int(str(ended.code))
    assert code in (1, 2)
    printed = capsys.readouterr()
    assert is_harmless(printed.out + printed.err)
    assert "\\x1b]0;owned" in printed.err


def test_special_files_are_refused_without_waiting(reference: Path, tmp_path: Path) -> None:
    pipe, model = tmp_path / "pipe", open_model(reference)
    os.mkfifo(pipe)
    with pytest.raises(PlanError, match="it is not a regular file"):
        Plan.load(pipe)
    with pytest.raises(CalibrationError, match="it is not a regular file"):
        read_calibration(pipe, model.hparams)
    with pytest.raises(TextsError, match="it is not a regular file"):
        read_card(pipe, model)
