"""The commands convert, inspect and verify as a user runs them: output, exit codes, JSON."""

import io
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from edgemed import demo
from edgemed.cli import main
from edgemed.commands._progress import ProgressLine, format_duration
from edgemed.convert import writer
from edgemed.convert.safetensors import read_header
from edgemed.model_file import keys, open_model
from edgemed.quant.plan import Plan
from testing.checkpoints import make_checkpoint
from testing.gguf_bytes import small_model
from tests.convert.conftest import TINY

PLAN = """{"edgemed_plan": 1, "experts": {"default": "Q3_K", "layers": {"2": {"down": {"Q6_K": "0-3"}}}}}"""


@pytest.fixture(scope="module")
def model(small: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    (folder / "plan.json").write_text(PLAN)
    assert main(["convert", str(small), "-o", str(folder / "m.gguf"), "--plan", str(folder / "plan.json")]) == 0
    return folder / "m.gguf"


@pytest.mark.slow
def test_convert_reports_what_it_wrote(small: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "m.gguf"
    assert main(["convert", str(small), "-o", str(path), "--bits", "3.4"]) == 0
    out = capsys.readouterr().out
    assert re.search(r"m\.gguf: [\d.]+ MiB, [\d,]+ parameters, [\d.]+ bits per weight, 32 experts, edgemed layout", out)
    assert main(["convert", str(small), "-o", str(path), "--bits", "3.4", "--overwrite", "--json"]) == 0
    done = json.loads(capsys.readouterr().out)
    opened = open_model(path)
    assert done["weights_digest"] == opened.weights_digest
    assert done["size_bytes"] == path.stat().st_size
    assert done["plan_digest"] == Plan.uniform(3.4).digest


@pytest.mark.slow
@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("{% for m in messages %}{{ m.content }}", "is malformed in line 1"),
        ("{{ raise_exception('only the tool role') }}", "refuses this conversation: only the tool role"),
        ("{{ messages | jq }}", "is malformed in line 1"),
    ],
)
def test_a_template_that_cannot_be_used_is_found_before_converting(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], template: str, words: str
) -> None:
    folder = make_checkpoint(tmp_path / "checkpoint", TINY, chat_template=template)
    assert main(["convert", str(folder), "-o", str(tmp_path / "m.gguf")]) == 1
    said = capsys.readouterr().err
    assert words in said
    assert said.endswith(
        "; correct the checkpoint's chat_template.jinja or tokenizer_config.json, or remove the template.\n"
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "template", ["{{ bos_token }}{% generation %}{{ messages | tojson(indent=1) }}{% endgeneration %}", " "]
)
def test_a_template_for_training_is_converted(tmp_path: Path, template: str) -> None:
    folder = make_checkpoint(tmp_path / "checkpoint", TINY, chat_template=template)
    assert main(["convert", str(folder), "-o", str(tmp_path / "m.gguf")]) == 0


READ_AND_TOLD = """
import sys
from pathlib import Path
from edgemed.cli import main
folder, seen = Path(sys.argv[2]), set()
sys.addaudithook(lambda event, args: event == "open" and seen.add(str(args[0])))
code = main(sys.argv[1:])
print(*sorted(path.name for path in folder.iterdir() if str(path) in seen))
sys.exit(code)
"""


@pytest.mark.slow
def test_plan_may_be_saved_in_the_checkpoint_but_not_over_its_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_checkpoint(tmp_path / "checkpoint", TINY, shards=1)
    (folder / "chat_template.jinja").write_text("{{ messages }}")
    words = ["convert", str(folder), "-o", str(tmp_path / "m.gguf"), "--overwrite", "--save-plan"]
    for _ in range(2):
        assert main([*words, str(folder / "plan.json")]) == 0
    spared = sorted(path.name for path in folder.iterdir() if path.name != "plan.json")
    absent = ["edgemed.json", "model.safetensors.index.json"]
    for name in (*spared, *absent):
        assert main([*words, str(folder / name)]) == 2, name
        assert "is also named as an input or as another output" in capsys.readouterr().err
    for name, text in zip(absent, ("{}", json.dumps({"weight_map": weight_map(folder)})), strict=True):
        (folder / name).write_text(text)
    command = [sys.executable, "-c", READ_AND_TOLD, *words[:-2], "--overwrite"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1].split() == sorted([*spared, *absent])


def weight_map(folder: Path) -> dict[str, str]:
    return dict.fromkeys(read_header(folder / "model.safetensors").tensors, "model.safetensors")


def test_inspect_json(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(model), "--json"]) == 0
    known = json.loads(capsys.readouterr().out)
    assert known["architecture"] == "bailingmoe2"
    assert known["size_bytes"] == model.stat().st_size
    assert known["experts"]["layers"] == 2
    assert known["experts"]["per_layer"] == 16
    assert known["experts"]["types"] == {"Q3_K": 2 * 16 * 3 - 4, "Q6_K": 4}
    assert known["plan_digest"] == Plan.parse(PLAN).digest
    assert known["source"]["digest"]
    assert known["intended_use"] == "unevaluated"
    assert known["verified"] is True
    tensors = open_model(model).tensors.values()
    assert known["parameters"] == sum(t.shape[0] * (t.shape[1] if len(t.shape) > 1 else 1) for t in tensors)
    assert known["bits_per_weight"] == 8 * sum(t.nbytes for t in tensors) / known["parameters"]


def test_inspect_text(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(model)]) == 0
    lines = capsys.readouterr().out.splitlines()
    # Layer 2: experts 0 to 3 have 3.44 bits in gate and up and 6.56 in down, which makes 4.48.
    assert lines[-2].split() == ["1", "3.44", "3.44", "3.44", "3" * 16]
    assert lines[-1].split() == ["2", "3.44", "3.44", "4.22", "4" * 4 + "3" * 12]
    assert any("every tensor has a checksum" in line for line in lines)
    assert all(len(line) <= 120 and "\033" not in line for line in lines)


def test_verify_finds_a_flipped_bit(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(model)]) == 0
    assert "intact, " in capsys.readouterr().out
    tensors = open_model(model).tensors
    for name, label in (("blk.2.ffn_up.11.weight", "expert 11 of layer 2"), ("output.weight", "output.weight")):
        damaged = tmp_path / "damaged.gguf"
        shutil.copy(model, damaged)
        content = bytearray(damaged.read_bytes())
        content[tensors[name].offset + 5] ^= 4
        damaged.write_bytes(content)
        assert main(["verify", str(damaged)]) == 1
        said = capsys.readouterr().err
        assert f"({label})" in said
        assert said.count("\n") == 1
        assert main(["verify", str(damaged), "--json"]) == 1
        assert json.loads(capsys.readouterr().out)["damaged"] == [label]


@pytest.mark.parametrize(
    ("change", "label"),
    [
        (-1, "its length, 1 bytes too few"),
        (-100, "its length, 100 bytes too few"),
        (1, "its length, 1 bytes too many"),
        (4096, "its length, 4,096 bytes too many"),
    ],
)
def test_verify_finds_bytes_lost_or_added_at_the_end(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], change: int, label: str
) -> None:
    content = model.read_bytes()
    last = max(tensor.end for tensor in open_model(model).tensors.values())
    assert last < len(content) - 100  # the padding of the last page
    damaged = tmp_path / "damaged.gguf"
    damaged.write_bytes(content + bytes(change) if change > 0 else content[:change])
    assert main(["verify", str(damaged), "--json"]) == 1
    printed = capsys.readouterr()
    assert json.loads(printed.out)["damaged"] == [label]
    assert f"damaged.gguf is damaged: 1 of {json.loads(printed.out)['checked']} checks fail ({label});" in printed.err


@pytest.mark.slow
def test_stock_files_are_unverified(small: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    foreign = tmp_path / "foreign.gguf"
    foreign.write_bytes(small_model("llama.cpp").encode())
    assert main(["verify", str(foreign)]) == 0
    assert "UNVERIFIED" in capsys.readouterr().out
    ours = tmp_path / "ours.gguf"
    assert main(["convert", str(small), "-o", str(ours), "--layout", "llama.cpp"]) == 0
    capsys.readouterr()
    assert main(["verify", str(ours)]) == 0
    assert "UNVERIFIED" in capsys.readouterr().out
    content = bytearray(ours.read_bytes())
    content[-50] ^= 1
    ours.write_bytes(content)
    assert main(["verify", str(ours)]) == 1
    assert "the digest over all weights" in capsys.readouterr().err


def test_verify_reports_missing_header_checksum(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Format 1 had no header checksum, so verify must not call such a header intact."""
    old, content = tmp_path / "old.gguf", model.read_bytes()
    key = keys.HEADER_CHECKSUM.encode()
    version = open_model(model).metadata.value_at(keys.FORMAT_VERSION)
    content = content[:version] + keys.FIRST_FORMAT.to_bytes(4, "little") + content[version + 4 :]
    old.write_bytes(content.replace(key, key[::-1], 1))
    for path, has in ((old, False), (model, True)):
        assert main(["verify", str(path)]) == 0
        said = capsys.readouterr().out
        assert ("format 1 has no checksum for the header" in said) is not has
        assert main(["verify", str(path), "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["header_verified"] is has


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["nowhere", "-o", "x.gguf"], 1, "There is no checkpoint folder nowhere."),
        (["~nosuchuser/model", "-o", "x.gguf"], 1, "There is no checkpoint folder ~nosuchuser/model"),
        (["{tmp}/file", "-o", "x.gguf"], 1, "is a file, so it must be a GGUF"),
        (["{tmp}", "-o", "x.gguf"], 1, "has no config.json"),
        (["{small}", "-o", "{tmp}/x.gguf", "--bits", "0"], 2, "--bits 0 is not possible"),
        (["{small}", "-o", "{tmp}/x.gguf", "--bits", "nan"], 2, "--bits nan is not possible"),
        (["{small}", "-o", "{tmp}/x.gguf", "--plan", "{tmp}/none.json"], 1, "none.json"),
        (["{small}", "-o", "{tmp}/no/x.gguf"], 2, "There is no folder"),
    ],
)
def test_wrong_usage_is_one_sentence(
    small: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], code: int, message: str
) -> None:
    (tmp_path / "file").touch()
    filled = [word.format(tmp=tmp_path, small=small) for word in words]
    assert main(["convert", *filled]) == code
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_error_names_the_unsupported_architecture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_checkpoint(tmp_path / "checkpoint", config_changes={"architectures": ["LlamaForCausalLM"]})
    assert main(["convert", str(tmp_path / "checkpoint"), "-o", str(tmp_path / "x.gguf")]) == 1
    said = capsys.readouterr().err
    assert (
        "architecture is LlamaForCausalLM, but edgemed converts BailingMoeV2ForCausalLM and SarvamMoEForCausalLM only"
        in said
    )


@pytest.mark.slow
def test_interruption_says_how_to_resume(
    small: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def press_control_c(*_: object) -> None:
        raise KeyboardInterrupt

    command = ["convert", str(small), "-o", str(tmp_path / "m.gguf")]
    with monkeypatch.context() as patch:
        patch.setattr(writer.Writer, "_report", press_control_c)
        assert main(command) == 130
    assert "give the same command again to resume" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.gguf.journal", "m.gguf.partial"]
    assert main(command) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["m.gguf"]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_in_a_terminal_and_in_a_log(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr("edgemed.commands._progress.time.monotonic", lambda: now[0])
    monkeypatch.setenv("COLUMNS", "80")
    shown = {}
    for stream in (Terminal(), io.StringIO()):
        now[0] = 1000.0
        with ProgressLine(stream) as line:
            for second in range(101):
                now[0] = 1000.0 + second
                line.update("converting", second << 20, 100 << 20, detail=f"{second} of 100 experts")
        shown[stream.isatty()] = stream.getvalue()
    assert "converting, 50 of 100 experts, 50 MiB of 100 MiB, 1 MiB/s, 50 s left" in shown[True]
    assert shown[True].endswith("\r\033[K")
    assert [text.split(",")[1] for text in shown[False].splitlines()] == [f" {n} of 100 experts" for n in (30, 60, 90)]
    assert "\033" not in shown[False]


def test_durations() -> None:
    assert [format_duration(s) for s in (5, 89, 180, 7500)] == ["5 s", "89 s", "3 min", "2 h 05 min"]


@pytest.mark.slow
def test_demonstration_checkpoint_is_marked_as_one(tmp_path: Path) -> None:
    path = tmp_path / "demo.gguf"
    assert main(["convert", str(demo.checkpoint_path()), "-o", str(path)]) == 0
    model = open_model(path)
    assert model.intended_use == "demonstration"
    assert model.hparams.n_expert == 16
