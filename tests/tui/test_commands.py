"""The table of commands, and the ways to them: palette, slash menu, typed words, second keys."""

from __future__ import annotations

import pytest
from textual.pilot import Pilot
from textual.widgets import OptionList

from edgemed.clinical import Language
from edgemed.tui.app import ChatApp
from edgemed.tui.commands import BY_WORD, COMMANDS, is_command, listed, matching, shown_key
from edgemed.tui.screens.help import HelpScreen
from edgemed.tui.strings.commands import TITLES
from edgemed.tui.widgets.composer import Composer
from edgemed.tui.widgets.slash_menu import SlashMenu
from testing.fake_engine import FakeEngine
from tests.tui.driving import chat, send, session, shows, shows_not, wait_until, write


def test_every_command_has_one_word_and_titles_in_both_languages() -> None:
    assert len(BY_WORD) == len(COMMANDS)
    assert all(is_command(command.word) and command.word.islower() for command in COMMANDS)
    for titles in TITLES.values():
        assert set(titles) == {command.name for command in COMMANDS}
    keys = [key for command in COMMANDS for key in (*command.keys, *command.typed)]
    assert len(keys) == len(set(keys))


def test_keys_are_shown_as_people_write_them() -> None:
    assert [shown_key(key) for key in ("ctrl+n", "f2", "escape", "alt+left")] == ["Ctrl+N", "F2", "Esc", "Alt+←"]


@pytest.mark.parametrize("text", ["/help", "/edit what now", "/Nonsense"])
def test_a_slash_and_a_word_are_a_command(text: str) -> None:
    assert is_command(text)


@pytest.mark.parametrize("text", ["", "/", " /help", "/2 of the dose", "and/or", "mg/kg", "/胸痛", "//"])
def test_other_texts_are_questions(text: str) -> None:
    assert not is_command(text)


@pytest.mark.parametrize("language", ["en", "zh-CN"])
async def test_the_palette_has_the_order_of_the_table_and_shows_keys(language: Language) -> None:
    async with chat(language=language).run_test() as pilot:
        await shows(pilot, "mini")
        await pilot.press("ctrl+p")
        await wait_until(pilot, lambda: len(pilot.app.screen.query(OptionList)) > 0)
        options = pilot.app.screen.query_one(OptionList)
        await wait_until(pilot, lambda: options.option_count > 20)
        titles = [str(option.prompt).partition("\n")[0] for option in options.options]
        app = pilot.app
        assert isinstance(app, ChatApp)
        offered = [command for command in COMMANDS if app.offers(command)]
        assert [title.split(" · ")[0] for title in titles] == [command.title(language) for command in offered]
        assert titles[0].endswith("Ctrl+N")


async def test_a_slash_opens_a_menu_that_completes_and_runs() -> None:
    engine = FakeEngine()
    async with ChatApp(session(engine)).run_test() as pilot:
        await shows(pilot, "mini")
        await pilot.press("slash")
        await shows(pilot, "/new", "Ctrl+N", "New chat")
        await pilot.press("h", "e")
        await shows(pilot, "/help", "F1")
        await shows_not(pilot, "/new")
        await pilot.press("tab")
        assert composer(pilot).text == "/help "
        await pilot.press("backspace", "enter")
        await wait_until(pilot, lambda: isinstance(pilot.app.screen, HelpScreen))
        await pilot.press("escape")
        await wait_until(pilot, lambda: not isinstance(pilot.app.screen, HelpScreen))
        assert composer(pilot).text == ""
        assert not engine.asked


async def test_the_menus_highlight_moves_and_escape_closes_it() -> None:
    async with chat().run_test(notifications=True) as pilot:
        await shows(pilot, "mini")
        await pilot.press("slash", "f")
        await wait_until(pilot, lambda: pilot.app.screen.query_one(SlashMenu).display)
        await pilot.press("escape")
        assert not pilot.app.screen.query_one(SlashMenu).display
        assert composer(pilot).text == "/f"
        await pilot.press("backspace", "b", "down", "enter")
        second = matching("/b", (command for command in COMMANDS if pilot.app.offers(command)))[1]  # type: ignore[attr-defined]
        assert second.word == "/brief"
        await shows(pilot, "brief answer")


async def test_a_word_that_is_typed_faster_than_the_menu_follows_is_the_one_that_runs() -> None:
    app = chat()
    async with app.run_test(notifications=True) as pilot:
        await shows(pilot, "mini")
        await pilot.press("slash", "r")
        await wait_until(pilot, lambda: app.screen.query_one(SlashMenu).word == "/resume")
        composer(pilot)._menu.show = lambda commands: None  # type: ignore[method-assign]
        ran = list[str]()
        app.chat.action_resume = lambda: ran.append("/resume")  # type: ignore[method-assign]
        app.chat.action_restart_engine = lambda: ran.append("/restart")  # type: ignore[method-assign]
        send(pilot, "estart\r")
        await wait_until(pilot, lambda: bool(ran))
        assert ran == ["/restart"]


async def test_an_unknown_word_is_refused_and_not_sent() -> None:
    engine = FakeEngine()
    async with ChatApp(session(engine)).run_test(notifications=True) as pilot:
        await write(pilot, "/nonsense", "enter")
        await shows(pilot, "There is no command /nonsense. It was not sent to the model.")
        assert composer(pilot).text == "/nonsense"
        composer(pilot).clear()
        await write(pilot, "/lock", "enter", "enter")
        await shows(pilot, "/lock")
        assert not engine.asked


async def test_a_question_mark_in_an_empty_box_is_help_and_in_a_question_is_not() -> None:
    async with chat().run_test() as pilot:
        await shows(pilot, "mini")
        await pilot.press("w", "question_mark")
        assert composer(pilot).text == "w?"
        composer(pilot).clear()
        await pilot.press("question_mark")
        await wait_until(pilot, lambda: isinstance(pilot.app.screen, HelpScreen))


def test_the_help_page_lists_what_is_offered() -> None:
    page = listed("en", [command for command in COMMANDS if command.name in ("help", "copy_answer", "where")])
    assert "- **/help**, **F1, ?**: Help. " in page
    assert "- **/copy**, **F2, Ctrl+G**: Copy the answer. " in page
    assert "- **/where**: Where am I. " in page
    assert "/new" not in page
    chinese = listed("zh-CN", [command for command in COMMANDS if command.name == "copy_answer"])
    assert chinese.startswith("- **/copy**、**F2、Ctrl+G**：复制回答。选中的")


async def test_control_c_says_how_to_quit_and_stops_an_answer() -> None:
    async with chat().run_test(notifications=True) as pilot:
        await shows(pilot, "mini")
        await pilot.press("ctrl+c")
        await shows(pilot, "Ctrl+Q quits. Esc stops an answer.")


def composer(pilot: Pilot[None]) -> Composer:
    return pilot.app.screen_stack[0].query_one(Composer)
