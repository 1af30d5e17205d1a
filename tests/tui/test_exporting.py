"""The text export: the review that a person must pass, the file, and line mode."""

from __future__ import annotations

import errno
import io
import re
import stat
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from edgemed.chat.conversation import Conversation
from edgemed.clinical.case import CaseHeader
from edgemed.tui import exporting
from edgemed.tui.app import ChatApp
from edgemed.tui.exporting import path_of, problem_with, sentence_for
from edgemed.tui.plain.chat import PlainChat
from edgemed.tui.screens.export_form import ExportForm
from edgemed.tui.screens.review import ReviewScreen
from edgemed.tui.strings.export import ENGLISH
from edgemed.tui.themes import THEMES
from testing.fake_engine import FakeEngine, finished
from tests.tui.driving import session, shows, shows_not, wait_until, write
from tests.tui.test_contrast import check
from tests.tui.test_copying import select_with_mouse
from tests.tui.test_kept import in_vault, unlocked
from tests.tui.vaults import entrance, make_vault

HEADER = CaseHeader(initials="QXI", born="1972-04-03", number="QX998877")
QUESTION = (
    "QXI, born 03/04/1972, MRN QX 99 88 77: Mr Pemberton fell on 3 May. Lighthouse keeper. "
    "Is Parkinson's disease likely?"
)
ANSWER = "Ask **Pemberton** about falls.\n\n- carbidopa 25 mg\n- see Dr Lindqvist"


pytestmark = pytest.mark.usefixtures("home")


async def answered(pilot: Pilot[None], question: str = QUESTION, sign: str = "carbidopa") -> None:
    pilot.app.chat._conversation.header = HEADER  # type: ignore[attr-defined]
    await write(pilot, question, "enter")
    await shows(pilot, sign)
    await wait_until(pilot, lambda: not pilot.app.chat.answering)  # type: ignore[attr-defined]


async def reviewing(pilot: Pilot[None], part: str = "both") -> None:
    """Ask for an export, and wait for the review."""
    await write(pilot, f"/export {part}", "enter")
    await wait_until(pilot, lambda: isinstance(pilot.app.screen, ReviewScreen))
    await shows(pilot, "found")


async def to_file(pilot: Pilot[None], reviewer: str, path: str | None = None) -> None:
    """Confirm the review, give the name and the file."""
    await pilot.press("y")
    await wait_until(pilot, lambda: isinstance(pilot.app.screen, ExportForm))
    await shows(pilot, "Reviewed by")
    field = pilot.app.screen.query_one(Input)
    field.value = reviewer or field.value
    await pilot.press("enter")
    await shows(pilot, "File")
    if path is not None:
        field.value = path
    await pilot.press("enter")


@pytest.mark.slow
async def test_an_export_is_reviewed_signed_written_and_recorded(tmp_path: Path, home: Path) -> None:
    folder, engine = make_vault(tmp_path / "vault"), FakeEngine([ANSWER])
    app = ChatApp(entrance=entrance(folder, engine))
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await unlocked(pilot)
        await answered(pilot)
        await reviewing(pilot)
        await shows(pilot, "7 found, 7 redacted, 0 kept", "NAME: QXI, Pemberton ×2, Lindqvist", "in the case header")
        await to_file(pilot, "Dr A. Reader")
        await shows(pilot, "Exported to")
        await reviewing(pilot)
        await pilot.press("y")
        await wait_until(pilot, lambda: isinstance(pilot.app.screen, ExportForm))
        await wait_until(pilot, lambda: app.screen.query_one(Input).value == "Dr A. Reader")
        await pilot.press("escape")
        await pilot.press("ctrl+q")
    (path,) = home.glob("edgemed-export-*.txt")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    lines = path.read_text().split("\n")
    assert lines[0] == "Redaction-assisted; reviewed by Dr A. Reader"
    assert lines[1] == "AI-generated draft (model ab12cd34), not verified"
    assert re.fullmatch(r"Exported: \d{4}-\d\d-\d\d \d\d:\d\d", lines[2])
    assert re.fullmatch(r"Audit: \d+:[0-9a-f]{32}", lines[3])
    assert lines[4:] == [
        "",
        "[NAME 1], born [DATE], MRN [RECORD NUMBER]: Mr [NAME 2] fell on [DATE]. Lighthouse keeper. "
        "Is Parkinson's disease likely?",
        "",
        "Ask [NAME 2] about falls.",
        "",
        "- carbidopa 25 mg",
        "- see Dr [NAME 3]",
        "",
    ]
    rows = in_vault(folder, lambda store: list(store._rows("SELECT sequence, mac, event, details FROM audit")))
    events = [row["event"] for row in rows]
    assert events.index("export_reviewed") + 1 == events.index("exported")
    reviewed = rows[events.index("export_reviewed")]
    assert lines[3] == f"Audit: {reviewed['sequence']}:{reviewed['mac']}"
    assert "Pemberton" not in str(rows)
    assert in_vault(folder, lambda store: store.setting("clinician")) == "Dr A. Reader"


@pytest.mark.slow
async def test_findings_are_kept_by_key_and_words_are_redacted_as_well(home: Path) -> None:
    app = ChatApp(session(FakeEngine([ANSWER])))
    async with app.run_test(size=(100, 30), notifications=True) as pilot:
        await answered(pilot)
        await reviewing(pilot)
        await shows(pilot, "1 of 7", "“QXI”")
        await pilot.press("n", "n", "n")
        await shows(pilot, "4 of 7", "“Pemberton”", "redacted as [NAME 2]")
        await pilot.press("k")
        await shows(pilot, "5 redacted, 2 kept", "KEPT")
        await pilot.press("a", "space")
        await shows(pilot, "6 redacted, 1 kept")
        await pilot.press("p", "left", "right", "right", "right", "r")
        await shows(pilot, "Redact these words")
        await pilot.press(*"nowhere", "enter")
        await shows(pilot, "“nowhere” is not in the text.")
        app.screen.query_one(Input).value = "lighthouse keeper"
        await pilot.press("enter")
        await shows(pilot, "8 found, 7 redacted, 1 kept")
        await select_with_mouse(pilot, "carbidopa")
        await pilot.press("r")
        await shows(pilot, "9 found, 8 redacted, 1 kept", "marked by you")
        await to_file(pilot, "A. Reader", "out.txt")
        await shows(pilot, "Exported to")
    text = (home / "out.txt").read_text()
    assert "Mr Pemberton fell on [DATE]. [REDACTED]. Is" in text
    assert "Ask [NAME 2] about falls." in text
    assert "- [REDACTED] 25 mg" in text


@pytest.mark.slow
async def test_there_is_no_way_past_the_review(home: Path) -> None:
    app = ChatApp(session(FakeEngine([ANSWER + "\n\nline" * 60 + "\n\nlast line"])))
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await answered(pilot, sign="last line")
        await reviewing(pilot, "answer")
        await shows(pilot, "Read to the end", "not encrypted")
        await pilot.press("y", "enter", "ctrl+s")
        await pilot.pause(0.1)
        assert isinstance(app.screen, ReviewScreen)
        await pilot.press("end")
        await shows(pilot, "last line", "Y: I have read it")
        await pilot.press("escape")
        await wait_until(pilot, lambda: app.screen is app.chat)
        await reviewing(pilot, "answer")
        await pilot.press(*["pagedown"] * 20)
        await shows(pilot, "Y: I have read it")
        await pilot.press("y")
        await shows(pilot, "Reviewed by")
        await pilot.press("enter")
        await shows(pilot, "Without a name there is no export.")
        await pilot.press("escape")
        await wait_until(pilot, lambda: app.screen is app.chat)
    assert list(home.iterdir()) == []


@pytest.mark.slow
async def test_a_file_that_cannot_be_written_is_named_and_another_is_taken(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "old.txt").write_text("old")

    def full(path: Path, content: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    app = ChatApp(session(FakeEngine([ANSWER]), language="zh-CN"))
    async with app.run_test(size=(100, 30), notifications=True) as pilot:
        await answered(pilot)
        await write(pilot, "/export 对话", "enter")
        await shows(pilot, "导出前审核", "不加密")
        await pilot.press("y")
        await shows(pilot, "审核人")
        field = app.screen.query_one(Input)
        field.value = "林医生"
        await pilot.press("enter")
        await shows(pilot, "文件")
        for typed, said in (
            ("", "请输入文件名"),
            ("no/such.txt", "不存在；请先创建"),
            ("~", "是文件夹"),
            ("old.txt", "已存在。再按一次"),
        ):
            field.value = typed
            await pilot.press("enter")
            await shows(pilot, said)
        field.value = "new.txt"
        with monkeypatch.context() as patched:
            patched.setattr(exporting, "write_private", full)
            await pilot.press("enter")
            await shows(pilot, "磁盘已满")
        field.value = "old.txt"
        await pilot.press("enter")
        await shows(pilot, "已存在。再按一次")
        assert (home / "old.txt").read_text() == "old"
        await pilot.press("enter")
        await shows(pilot, "已导出到")
    text = (home / "old.txt").read_text()
    assert text.startswith(
        "身份信息经规则辅助隐去，可能有遗漏；审核人：林医生\nAI生成草稿（模型 ab12cd34），未经核实\n演示模型"
    )
    assert "问题 1：\n" in text
    assert "回答 1：\n" in text
    assert [path.name for path in home.iterdir()] == ["old.txt"]


@pytest.mark.slow
async def test_what_to_export_is_chosen_and_reasoning_is_left_out(home: Path) -> None:
    cut = finished("Half a dose", tokens=2, prompt=1, reason="length")
    app = ChatApp(session(FakeEngine(["<think>Is it Mr Hidden?</think>One."], ["Half a dose", cut])))
    async with app.run_test(size=(100, 30), notifications=True) as pilot:
        await write(pilot, "/export", "enter")
        await shows(pilot, "There is no answer to export yet.")
        await write(pilot, "First?", "enter")
        await shows(pilot, "One.")
        await write(pilot, "Second?", "enter")
        await shows(pilot, "CUT OFF")
        await pilot.press("alt+e")
        await shows(pilot, "Export to a text file", "The whole chat")
        await pilot.press("down", "down", "enter")
        await wait_until(pilot, lambda: isinstance(app.screen, ReviewScreen))
        await shows(pilot, "The rules found nothing")
        await to_file(pilot, "A", "chat.txt")
        await shows(pilot, "Exported to")
        await shows_not(pilot, "Reviewed by")
    text = (home / "chat.txt").read_text()
    assert "Hidden" not in text
    assert text.endswith(
        "Question 1:\nFirst?\n\nAnswer 1:\nOne.\n\nQuestion 2:\nSecond?\n\nAnswer 2:\nHalf a dose\n"
        "CUT OFF: a dose or a list may be incomplete\n"
    )


@pytest.mark.slow
@pytest.mark.parametrize("theme", [theme.name for theme in THEMES])
async def test_the_review_is_legible(theme: str) -> None:
    app = ChatApp(session(FakeEngine([ANSWER])))
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        app.theme = theme
        await answered(pilot)
        await reviewing(pilot)
        await pilot.press("space", "n", "r")
        await shows(pilot, "6 redacted, 1 kept", "Redact these words", "DEMONSTRATION")
        check(pilot)
        await pilot.press("escape", "end")
        await shows(pilot, "Y: I have read it")
        check(pilot)
        await pilot.press("y")
        await shows(pilot, "Reviewed by", "DEMONSTRATION")
        check(pilot)


# --- line mode ---


def said(typed: str, *scripts: list[str]) -> str:
    """What line mode prints when this is typed after a question, from the export on."""
    writer = io.StringIO()
    reader = io.StringIO(f"{QUESTION}\n{typed}")
    conversation = Conversation(saved=False, header=HEADER)
    PlainChat(session(FakeEngine([ANSWER], *scripts)), conversation, reader=reader, writer=writer).run()
    return writer.getvalue().partition("End of answer.")[2]


def test_line_mode_reviews_and_writes(home: Path) -> None:
    printed = said("/export both out.txt\n6 5\n6\n+lighthouse keeper\n\nDr A. Reader\nyes\n")
    assert "Mr [4 Pemberton] fell on [5 3 May]." in printed
    assert "1. NAME: QXI. redacted as [NAME 1] · in the case header" in printed
    assert "Kept: 5, 6." in printed
    assert "Kept: 5.\n" in printed
    assert "Redacted as well, at 1 places." in printed
    assert "5. DATE: 3 May. KEPT" in printed
    assert "The file is not encrypted" in printed
    text = (home / "out.txt").read_text()
    assert text.startswith("Redaction-assisted; reviewed by Dr A. Reader\n")
    assert "Mr [NAME 2] fell on 3 May. [REDACTED]." in text


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("/export out.txt\n\nDr A\nno\n", "Nothing was exported."),
        ("/export out.txt\n\nDr A\ny\n", "Nothing was exported."),
        ("/export out.txt\n\n\nyes\n", "Without a name there is no export."),
        ("/export out.txt\n-\n", "Nothing was exported."),
        ("/export out.txt\n\nDr A\n", "Nothing was exported."),
        ("/export out.txt\n", "Nothing was exported."),
        ("/export\n", "Type /export and a file name."),
        ("/export chat\n", "Type /export and a file name."),
        ("/export no/such.txt\n", "There is no folder"),
        ("/export .\n", "is a folder"),
    ],
)
def test_line_mode_writes_nothing_without_every_step(typed: str, told: str, home: Path) -> None:
    assert told in said(typed, ["What is left is a question."])
    assert list(home.iterdir()) == []


def test_line_mode_overwrites_nothing(home: Path) -> None:
    (home / "out.txt").write_text("old")
    assert "out.txt exists; name another file." in said("/export out.txt\n")
    assert (home / "out.txt").read_text() == "old"


# --- the file ---


def test_the_file_is_the_typed_one(tmp_path: Path, home: Path) -> None:
    assert path_of("  ", tmp_path) is None
    assert path_of("a\0b", tmp_path) is None
    assert path_of("a.txt", tmp_path) == tmp_path / "a.txt"
    assert path_of("~/a.txt", tmp_path) == home / "a.txt"
    assert path_of("/tmp/a.txt", tmp_path) == Path("/tmp/a.txt")
    assert path_of("~nobody-here/a.txt", tmp_path) == tmp_path / "~nobody-here" / "a.txt"


def test_each_reason_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    for number, told in (
        (errno.ENOSPC, "disk is full"),
        (errno.EROFS, "choose another place"),
        (errno.EIO, "Input/output"),
    ):
        sentence = sentence_for(path, OSError(number, "Input/output error"), ENGLISH)
        assert told in sentence
        assert sentence.endswith(".")
    (tmp_path / "a.txt.partial").write_text("mine")
    assert "is in the way" in problem_with(path, ENGLISH)
    path.symlink_to(tmp_path / "elsewhere")
    assert problem_with(tmp_path / ("x" * 300), ENGLISH)
    (tmp_path / "a.txt.partial").unlink()
    assert "exists" in problem_with(path, ENGLISH)
    assert problem_with(path, ENGLISH, replace=True) == ""
