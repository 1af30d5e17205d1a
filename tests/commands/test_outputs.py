"""Commands replace only their own earlier outputs, and replace them completely or not at all."""

import errno
import fcntl
import os
import struct
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from edgemed.cli import main
from edgemed.convert import convert
from edgemed.errors import SetupError, UsageError
from edgemed.outputs import PUBLIC, check_outputs, claimed, partial_of, write_text
from edgemed.quant.plan import Plan

Jsonl = Callable[..., Path]


@pytest.mark.slow
def test_overwrite_refuses_inputs_and_special_files(
    reference: Path, checkpoint: Path, jsonl: Jsonl, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    texts, out, imatrix = jsonl("notes", {"text": "a"}), tmp_path / "s.npz", tmp_path / "i.gguf"
    link, linked, pipe = tmp_path / "link", tmp_path / "linked", tmp_path / "pipe"
    link.symlink_to(reference)
    linked.hardlink_to(texts)
    os.mkfifo(pipe)
    shard = next(checkpoint.glob("*.safetensors"))
    seen = {path: path.read_bytes() for path in (reference, texts, *checkpoint.iterdir())}
    calibrate, evaluate = (
        ("calibrate", reference, texts),
        ("eval", reference, "--reference", reference, "--data", texts),
    )
    for words in (
        (*calibrate, "-o", pipe),
        (*calibrate, "-o", link.parent),
        (*calibrate, "-o", "/"),
        (*calibrate, "-o", reference),
        (*calibrate, "-o", link),
        (*calibrate, "-o", texts),
        (*calibrate, "-o", linked),
        (*calibrate, "-o", out, "--imatrix", out),
        (*calibrate, "-o", out, "--imatrix", tmp_path / ".." / tmp_path.name / "s.npz"),
        (*evaluate, "-o", out, "--html", out),
        (*evaluate, "--html", reference),
        ("inspect", reference, "--html", reference),
        ("inspect", reference, "--html", imatrix, "--calibration", imatrix),
        ("convert", checkpoint, "-o", shard),
        ("convert", checkpoint, "-o", checkpoint / "config.json"),
        ("convert", checkpoint, "-o", out, "--save-plan", out),
        ("convert", checkpoint, "-o", out, "--plan", texts, "--save-plan", texts),
        ("convert", checkpoint, "-o", imatrix, "--calibration", imatrix),
    ):
        assert main([*map(str, words), "--overwrite"]) == 2, words
        printed = capsys.readouterr()
        assert (printed.err.count("\n"), printed.out) == (1, "")
        assert "choose another name" in printed.err or "is a folder; name a file in it" in printed.err
    assert {path: path.read_bytes() for path in seen} == seen
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "linked", "notes.jsonl", "pipe"]


def test_input_may_not_have_the_name_of_the_partial_file(tmp_path: Path) -> None:
    texts = tmp_path / "s.npz.partial"
    texts.touch()
    with pytest.raises(UsageError, match="choose another name"):
        check_outputs([tmp_path / "s.npz"], [texts])


def test_foreign_file_named_like_a_partial_file_is_kept(checkpoint: Path, tmp_path: Path) -> None:
    foreign = tmp_path / "m.gguf.partial"
    foreign.write_text("precious")
    with pytest.raises(SetupError, match=r"m\.gguf\.partial is in the way"):
        convert(str(checkpoint), tmp_path / "m.gguf", Plan.uniform(4.5))
    assert [(path, path.read_text()) for path in tmp_path.iterdir()] == [(foreign, "precious")]


@pytest.mark.parametrize("kind", ["a link", "a folder"])
def test_special_partial_file_is_not_written_to(checkpoint: Path, tmp_path: Path, kind: str) -> None:
    card, model, precious = tmp_path / "card.json", tmp_path / "m.gguf", tmp_path / "precious"
    precious.write_text("precious")
    for path in (card, model):
        partial = path.with_name(path.name + ".partial")
        if kind == "a link":
            partial.symlink_to(precious)
        else:
            partial.mkdir()
    with pytest.raises(SetupError, match=r"card\.json\.partial is in the way"), claimed(card):
        pass
    with pytest.raises(SetupError, match=r"m\.gguf\.partial is in the way"):
        convert(str(checkpoint), model, Plan.uniform(4.5), overwrite=True)
    assert precious.read_text() == "precious"
    assert sorted(path.suffix for path in tmp_path.iterdir()) == ["", ".partial", ".partial"]


def interrupted_half_way(path: Path) -> None:
    with claimed(path):
        assert partial_of(path).read_text() == ""
        partial_of(path).write_text("half")
        raise KeyboardInterrupt


def test_output_is_complete_or_absent(tmp_path: Path) -> None:
    path, old = tmp_path / "new", tmp_path / "old"
    old.write_text("before")
    (tmp_path / "new.partial").write_text("of a command that was killed")
    for place in (path, old):
        with pytest.raises(KeyboardInterrupt):
            interrupted_half_way(place)
    assert [entry.name for entry in tmp_path.iterdir()] == ["old"]
    assert old.read_text() == "before"
    with claimed(old):
        write_text(old, "name \udcff")
    assert old.read_text() == "name \\udcff"
    assert [entry.name for entry in tmp_path.iterdir()] == ["old"]


def test_second_writer_of_a_file_is_refused_before_its_work(
    reference: Path,
    checkpoint: Path,
    jsonl: Jsonl,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def work(*_: object, **__: object) -> None:
        raise AssertionError("the second command began its work")

    monkeypatch.setattr("edgemed.engine.process.job.run_job", work)
    monkeypatch.setattr("edgemed.evaluation.report.evaluate", work)
    monkeypatch.setattr("edgemed.quant.plan_html.plan_page", work)
    monkeypatch.setattr("edgemed.commands.convert.choose", work)
    texts, taken, other = jsonl("notes", {"text": "a"}), tmp_path / "taken", tmp_path / "other"
    evaluate = ("eval", reference, "--reference", reference, "--data", texts)
    with claimed(taken):
        partial_of(taken).write_text("the first's")
        for words in (
            ("calibrate", reference, texts, "-o", taken),
            ("calibrate", reference, texts, "-o", other, "--imatrix", taken),
            (*evaluate, "-o", taken),
            (*evaluate, "-o", other, "--html", taken),
            ("inspect", reference, "--html", taken),
            ("convert", checkpoint, "-o", other, "--save-plan", taken),
            ("convert", checkpoint, "-o", taken, "--save-plan", other),
        ):
            assert main([*map(str, words)]) == 1, words
            told = f"edgemed: Another command is writing {taken} at this moment; wait for it to end.\n"
            assert capsys.readouterr().err == told
        with pytest.raises(SetupError, match="Another command is writing"):
            convert(str(checkpoint), taken, Plan.uniform(4.5))
        assert partial_of(taken).read_text() == "the first's"
    assert [path.name for path in tmp_path.iterdir()] == ["notes.jsonl"]


def test_new_partial_file_after_placing_belongs_to_another_command(tmp_path: Path) -> None:
    path = tmp_path / "card.json"
    with ExitStack() as second:
        with claimed(path):
            write_text(path, "first")
            second.enter_context(claimed(path))
        assert path.read_text() == "first"
        write_text(path, "second")
    assert path.read_text() == "second"
    assert list(tmp_path.iterdir()) == [path]


def test_claimed_partial_file_can_be_written_and_read_by_name(tmp_path: Path) -> None:
    """The lock covers a byte beyond any file, so mandatory locks (SMB) do not stop processes that write the file."""
    path = tmp_path / "card.json"
    with claimed(path):
        other = os.open(partial_of(path), os.O_RDWR)
        held = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 1 << 61, 0)
        fcntl.fcntl(other, fcntl.F_OFD_SETLK, held)  # another descriptor can lock all bytes of the file
        os.close(other)
        write_text(path, "{}")


def test_hard_link_to_the_partial_file_is_kept(tmp_path: Path) -> None:
    path, precious = tmp_path / "card.json", tmp_path / "precious"
    precious.write_text("years of work")
    partial_of(path).hardlink_to(precious)
    with pytest.raises(UsageError, match="in the way"):
        check_outputs([path])
    with pytest.raises(SetupError, match="in the way"), claimed(path):
        pass
    assert precious.read_text() == "years of work"


def test_file_system_without_locks_can_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none_here(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("edgemed.outputs.fcntl.fcntl", none_here)
    with claimed(tmp_path / "card.json"):
        write_text(tmp_path / "card.json", "{}")
    assert (tmp_path / "card.json").read_text() == "{}"


@pytest.mark.parametrize("name", ["x" * 256, "x" * 250])
def test_impossible_file_name_is_refused_before_the_work(
    reference: Path, checkpoint: Path, jsonl: Jsonl, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    for words in (
        ("calibrate", reference, jsonl("notes", {"text": "a"})),
        ("eval", reference, "--reference", reference, "--data", jsonl("notes", {"text": "a"})),
        ("convert", checkpoint),
    ):
        assert main([*map(str, words), "-o", str(tmp_path / name)]) == 2
        said = capsys.readouterr().err
        assert "cannot be the name of a file (File name too long)" in said
        assert said.count("\n") == 1


@pytest.mark.parametrize("left", [None, 0o644])
def test_what_comes_of_private_texts_is_for_its_owner_only_from_the_first_byte(
    tmp_path: Path, left: int | None
) -> None:
    """Also where a killed command has left a file that others may read."""
    card, plan = tmp_path / "card.json", tmp_path / "plan.json"
    if left is not None:
        partial_of(card).touch()
        partial_of(card).chmod(left)
    umask = os.umask(0o022)
    try:
        with claimed(card):
            assert partial_of(card).stat().st_mode & 0o777 == 0o600
            write_text(card, "{}")
        with claimed(plan, mode=PUBLIC):
            write_text(plan, "{}")
    finally:
        os.umask(umask)
    assert [path.stat().st_mode & 0o777 for path in (card, plan)] == [0o600, 0o644]
