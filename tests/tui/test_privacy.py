"""What Textual must not do with patient text."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable

import pytest
from textual.command import CommandPalette
from textual.widgets import OptionList

from edgemed.tui.app import ChatApp
from edgemed.tui.commands import COMMANDS
from edgemed.tui.screens.chat import ChatScreen
from edgemed.tui.screens.noticed import NoticedPalette
from testing.fake_engine import FakeEngine
from tests.tui.driving import chat, screen_text, session, shows, wait_until, write

SECRET = "Mrs Miller, born 1950"


@pytest.mark.slow
def test_a_crash_prints_one_sentence_and_no_values() -> None:
    """Needs a real run: the application prints its last sentence when it closes, not in Textual's test harness."""
    code = f"""
import sys
from edgemed.tui.commands import COMMANDS
from tests.tui.driving import chat
app = chat(["ok"])
def broken() -> None:
    patient = {SECRET!r}
    raise ValueError(patient)
app.chat.call_later(broken)
app.call_later(broken)  # if there are several errors, Textual would print their number
app.run(headless=True)
sys.exit(app.return_code)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    said = " ".join((done.stdout + done.stderr).split())
    assert done.returncode == 1
    assert "edgemed: the chat ended because of an error in the program (ValueError)." in said
    assert "No patient text was written" in said
    assert "Miller" not in said
    assert "Traceback" not in said
    assert "broken" not in said
    assert "NOTE" not in said


async def test_the_palette_offers_our_commands_only_and_stands_under_the_notice() -> None:
    async with chat().run_test() as pilot:
        await shows(pilot, "mini")
        app = pilot.app
        await pilot.press("ctrl+p")
        await shows(pilot, "Find a command", "DEMONSTRATION MODEL", "New chat")
        assert isinstance(app.screen, NoticedPalette)
        shown = [str(option.prompt).split(" · ")[0] for option in app.screen.query_one(OptionList).options]
        assert all(any(title.startswith(command.title("en")) for command in COMMANDS) for title in shown)
        assert CommandPalette.is_open(app)  # type: ignore[arg-type]


@pytest.mark.parametrize("method", ["save_screenshot", "deliver_screenshot", "action_screenshot"])
async def test_no_way_of_textual_writes_a_picture(method: str, tmp_path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.chdir(tmp_path)
    async with chat().run_test() as pilot:
        write_picture: Callable[[], object] = getattr(pilot.app, method)
        with pytest.raises(PermissionError):
            write_picture()
        assert list(tmp_path.iterdir()) == []


async def test_links_are_text_and_nothing_opens(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", lambda url, *_, **__: opened.append(url))
    async with chat(["See [this](http://example.org/?q=secret) and http://example.org."]).run_test(
        notifications=True
    ) as pilot:
        await write(pilot, "q", "enter")
        await shows(pilot, "[this](http://example.org/?q=secret)")
        pilot.app.open_url("http://example.org")
        await shows(pilot, "Links do not open here")
        assert opened == []


async def test_selected_text_leaves_under_the_notices(monkeypatch: pytest.MonkeyPatch) -> None:
    async with chat(["Take 5 mg."]).run_test() as pilot:
        await write(pilot, "q", "enter")
        await shows(pilot, "Take 5 mg.")
        monkeypatch.setattr(ChatScreen, "get_selected_text", lambda screen: "5 mg")
        assert isinstance(pilot.app.screen, ChatScreen)
        pilot.app.screen.action_copy_text()
        assert pilot.app.clipboard.splitlines()[0] == "DEMONSTRATION MODEL: INVENTS TEXT. ENTER NO PATIENT DATA"
        assert pilot.app.clipboard.endswith("\n\n5 mg\n")


async def test_escape_sequences_in_an_answer_are_shown_and_not_obeyed() -> None:
    async with chat(["\x1b]52;c;aGk=\x07 \x1b[2J and \u202edesrever"]).run_test() as pilot:
        await write(pilot, "q", "enter")
        await shows(pilot, "⟨U+001B⟩]52;c;aGk=⟨U+0007⟩", "⟨U+001B⟩[2J", "⟨U+202E⟩desrever")
        assert "\x1b" not in screen_text(pilot)


async def test_markup_of_the_toolkit_in_any_text_is_text() -> None:
    hostile = "[/] [bold]x[/bold] [@click=app.quit]y[/]"
    engine = FakeEngine([f"{hostile}\n\n| a |\n|---|\n| {hostile} |\n"])
    async with ChatApp(session(engine)).run_test(size=(100, 30)) as pilot:
        await write(pilot, hostile, "enter")
        await wait_until(pilot, lambda: screen_text(pilot).count(hostile) == 3)


def test_textuals_variables_are_gone_before_it_is_imported() -> None:
    code = """
import os
from edgemed.tui.launch import scrub_environment
scrub_environment()
import textual.constants as constants
print(constants.LOG_FILE, constants.PRESS, constants.SCREENSHOT_DELAY, constants.DRIVER, os.environ.get("TEXTUAL"))
"""
    variables = {
        "TEXTUAL": "devtools,debug",
        "TEXTUAL_LOG": "/tmp/never",
        "TEXTUAL_PRESS": "a",
        "TEXTUAL_SCREENSHOT": "1",
        "TEXTUAL_DRIVER": "x:y",
    }
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={**os.environ, **variables}
    )
    assert done.stdout.split() == ["None", "-1", "None", "None"]


async def test_the_chat_screen_is_what_opens() -> None:
    async with chat().run_test() as pilot:
        assert isinstance(pilot.app.screen, ChatScreen)
        assert pilot.app.animation_level == "none"
