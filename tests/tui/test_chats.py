"""The list of chats: keystrokes from anywhere to a case or an answer, search, and what can be done with a chat."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from textual.pilot import Pilot

from edgemed.tui.chat_list import Row, jump, line, matching, ordered, previous, toggled, when, with_hits
from edgemed.tui.screens.chats import ChatsScreen
from edgemed.tui.strings.vault import vault_strings
from tests.tui.driving import screen_text, shows, shows_not, wait_until, write
from tests.tui.vaults import chat_on, enter, forty_cases, make_vault

NOW = datetime(2026, 11, 29, 11, 0, tzinfo=UTC)
WORDS = vault_strings("en")


def row(chat: str, hours: float = 0, **fields: object) -> Row:
    return Row(chat, f"chat {chat}", NOW - timedelta(hours=hours), **fields)  # type: ignore[arg-type]


def ids(rows: list[Row]) -> str:
    return "".join(each.chat_id for each in rows)


def test_the_list_is_by_case_pinned_first_then_recent_first() -> None:
    rows = [
        row("a", 5, case_id="x"),
        row("b", 1),
        row("c", 2, case_id="x"),
        row("d", 9, pinned=True),
        row("e", 0, deleted=True),
        row("f", 30),
    ]
    assert ids(ordered(rows)) == "dbcafe"


def test_a_single_digit_means_a_row_and_more_is_a_search() -> None:
    assert jump("3", 5) == 2
    assert jump("9", 5) is None
    for query in ("0", "", "33", "6.2", "x", "²"):
        assert jump(query, 50) is None


def test_the_filter_takes_words_in_any_order_and_width_and_prefers_beginnings() -> None:
    rows = [row("a", case="Mr Oman"), row("b", case="Manning, F 71"), row("c", case="陈女士 胸痛")]
    assert ids(matching(rows, "man")) == "ba"
    assert ids(matching(rows, "71 ＭＡＮ")) == "b"
    assert ids(matching(rows, "胸痛")) == "c"


def test_the_cursor_starts_on_the_chat_before_this_one() -> None:
    rows = [row("a", 0), row("b", 2), row("c", 1)]
    assert previous(rows, "a", []) == 2
    assert previous(rows, "a", ["b", "c", "b", "a"]) == 1
    assert previous(rows, None, []) == 0
    assert previous([], "a", []) == 0


def test_a_hit_takes_the_place_of_its_title() -> None:
    titles = [row("a"), row("b")]
    hits = [row("b", excerpt="x", turn_id="1"), row("b", excerpt="y", turn_id="2"), row("c", excerpt="z", turn_id="3")]
    assert [(each.chat_id, each.excerpt) for each in with_hits(titles, hits)] == [
        ("a", ""),
        ("b", "x"),
        ("b", "y"),
        ("c", "z"),
    ]


def test_times_are_as_short_as_they_can_be() -> None:
    assert when(NOW, NOW, WORDS) == "11:00"
    assert when(NOW - timedelta(hours=12), NOW, WORDS) == "yesterday 23:00"
    assert when(NOW - timedelta(days=3), NOW, WORDS) == "2026-11-26"


@pytest.mark.parametrize("width", [20, 38, 60, 100])
def test_a_line_fills_its_width_exactly(width: int) -> None:
    long = Row("a", "胸痛 " * 20, NOW, "x", "A very long name of a case", pinned=True, mark="draft", excerpt="e" * 200)
    for numbered in (1, None):
        first, second = line(long, numbered, width, NOW, WORDS, same_case=False).split("\n")
        assert first.cell_len <= max(width, 35)
        assert second.cell_len <= width


def test_a_deleted_row_stays_in_its_place() -> None:
    rows = [row("a"), row("b")]
    assert [each.deleted for each in toggled(rows, [rows[1]], deleted=True)] == [False, True]


# --- on the screen ---


async def opened(pilot: Pilot[None]) -> ChatsScreen:
    """Unlock, and open the list."""
    await enter(pilot)
    await shows(pilot, "Type a question")
    assert pilot.app.chat._kept is not None  # type: ignore[attr-defined]
    index = pilot.app.chat._kept.index  # type: ignore[attr-defined]
    await wait_until(pilot, lambda: len(index) > 100)
    await pilot.press("ctrl+o")
    await wait_until(pilot, lambda: isinstance(pilot.app.screen, ChatsScreen) and bool(pilot.app.screen.shown.rows))
    assert isinstance(pilot.app.screen, ChatsScreen)
    return pilot.app.screen


@pytest.mark.slow
async def test_the_keystrokes_to_a_case_an_answer_and_a_copy(tmp_path: Path) -> None:
    """40 cases; the target was opened yesterday and is neither the first nor the last. A chord counts as one."""
    folder = make_vault(tmp_path / "vault", forty_cases)
    async with chat_on(folder).run_test() as pilot:
        await enter(pilot)
        await shows(pilot, "Alder, F 40")
        switch = ["ctrl+o", "6", "enter"]
        assert len(switch) <= 3
        await pilot.press(*switch)
        await shows(pilot, "Frost, M 45", "Drugazole05")
        await wait_until(pilot, lambda: len(pilot.app.chat._kept.index) > 100)  # type: ignore[attr-defined]
        find = ["ctrl+o", *"le07", "enter"]
        assert len(find) <= 6
        await pilot.press(*find)
        await shows(pilot, "Hayes, M 47", "Take 17 mg of Drugazole07")
        await wait_until(pilot, lambda: type(pilot.app.focused).__name__ == "AnswerView")
        await pilot.press("f2")
        assert "Take 17 mg of Drugazole07" in pilot.app.clipboard
        await pilot.press("ctrl+o", "enter")  # back to the chat before
        await shows(pilot, "Frost, M 45", "Drugazole05")


@pytest.mark.slow
async def test_enter_opens_a_long_chat_at_the_turn_that_was_found(tmp_path: Path) -> None:
    def fill(store):  # type: ignore[no-untyped-def]
        from edgemed.chat.conversation import Conversation
        from edgemed.vault.rows import Snapshot

        chat = Conversation()
        for number in range(60):
            turn = chat.ask(f"Question {number}")
            turn.raw, turn.state = f"Answer {number}" + (" with zolpidem" if number == 7 else ""), "whole"
        store.keep(Snapshot.of(chat))

    async with chat_on(make_vault(tmp_path / "vault", fill)).run_test() as pilot:
        await opened(pilot)
        await pilot.press(*"zolpi")
        await shows(pilot, "Answer 7 with zolpidem")
        await pilot.press("enter")
        await shows(pilot, "Question 7", "Answer 7 with zolpidem")
        await pilot.press("f2")
        assert "Answer 7 with zolpidem" in pilot.app.clipboard


@pytest.mark.slow
@pytest.mark.parametrize("query", ["胸痛", "K 6.2"])
async def test_what_is_typed_is_searched_at_once(tmp_path: Path, query: str) -> None:
    async with chat_on(make_vault(tmp_path / "vault", forty_cases)).run_test(size=(100, 40)) as pilot:
        screen = await opened(pilot)
        screen.field.insert_text_at_cursor(query)
        await wait_until(pilot, lambda: len(screen.shown.rows) == 40 and all(row.excerpt for row in screen.shown.rows))
        await shows(pilot, "Drugazole00. K 6.2 需要注意胸痛。")
        await pilot.press("escape")
        await shows_not(pilot, "Drugazole")


@pytest.mark.slow
async def test_rename_pin_move_delete_and_undo(tmp_path: Path) -> None:
    folder = make_vault(tmp_path / "vault", forty_cases)
    async with chat_on(folder).run_test() as pilot:
        screen = await opened(pilot)

        def chosen() -> Row:
            assert screen.shown.chosen is not None
            return screen.shown.chosen

        await wait_until(pilot, lambda: chosen().case == "Bishop, M 41")
        await pilot.press("ctrl+e")
        await wait_until(pilot, lambda: screen.field.value == "What about the 1. problem?")
        screen.field.value = "Rash after amoxicillin"
        await pilot.press("enter")
        await shows(pilot, "Bishop, M 41 · Rash after amoxicillin")

        await pilot.press("3", "ctrl+t")
        await wait_until(pilot, lambda: chosen().pinned)
        assert screen.shown.rows[0].case == "Cole, F 42"
        await pilot.press("ctrl+t")
        await wait_until(pilot, lambda: not chosen().pinned)

        await pilot.press("ctrl+g", *"Dunn")
        await wait_until(pilot, lambda: chosen().title == "Dunn, M 43")
        await pilot.press("enter")
        await wait_until(pilot, lambda: chosen().case == "Dunn, M 43")
        await pilot.press("ctrl+g", *"Newcase")
        await shows(pilot, "New case: Newcase")
        await pilot.press("enter")
        await wait_until(pilot, lambda: chosen().case == "Newcase")

        await pilot.press("delete")
        await wait_until(pilot, lambda: chosen().deleted)
        await shows(pilot, "deleted", "Del brings it back.")
        await pilot.press("enter")
        assert isinstance(pilot.app.screen, ChatsScreen), "a deleted chat does not open"
        await pilot.press("delete")
        await wait_until(pilot, lambda: not chosen().deleted)

        await pilot.press("2", "delete")
        await wait_until(pilot, lambda: chosen().deleted)
        gone = chosen().chat_id
        await pilot.press("escape", "escape", "ctrl+o")
        await wait_until(pilot, lambda: isinstance(pilot.app.screen, ChatsScreen) and pilot.app.screen is not screen)
        assert gone not in screen_text(pilot)


@pytest.mark.slow
async def test_cases_untouched_for_thirty_days_are_offered_for_deletion(tmp_path: Path) -> None:
    folder = make_vault(tmp_path / "vault", forty_cases)
    async with chat_on(folder).run_test() as pilot:
        await enter(pilot)
        await shows(pilot, "Untouched for 30 days: 10. Ctrl+O, then F8, deletes them.")
        await pilot.press("ctrl+o")
        await shows(pilot, "F8 deletes them")
        screen = pilot.app.screen
        assert isinstance(screen, ChatsScreen)
        await pilot.press("f8")
        await wait_until(pilot, lambda: sum(each.deleted for each in screen.shown.rows) == 10)
        assert {each.case.split(",")[0] for each in screen.shown.rows if each.deleted} >= {"Nash", "Flynn"}
        await pilot.press("escape")
        await shows_not(pilot, "untouched")


@pytest.mark.slow
async def test_a_chat_that_is_deleted_while_it_is_open_gives_way_to_an_empty_one(tmp_path: Path) -> None:
    async with chat_on(make_vault(tmp_path / "vault", forty_cases), ["An answer."]).run_test() as pilot:
        screen = await opened(pilot)
        await pilot.press("1", "delete")
        await wait_until(pilot, lambda: screen.shown.rows[0].deleted)
        await pilot.press("escape", "escape")
        await wait_until(pilot, lambda: pilot.app.screen is pilot.app.chat)  # type: ignore[attr-defined]
        await shows_not(pilot, "Drugazole00")
        await write(pilot, "New question", "enter")
        await shows(pilot, "An answer.")


def numbered(pilot: Pilot[None], name: str) -> bool:
    """Whether the row of `name` begins with the digit that opens it. A time such as 21:11 is no such digit."""
    return re.search(rf"(?<!\S)1 {name}", " ".join(screen_text(pilot).split())) is not None


async def test_while_a_chat_is_renamed_or_moved_no_key_is_named_that_does_nothing(tmp_path: Path) -> None:
    async with chat_on(make_vault(tmp_path / "vault", forty_cases)).run_test() as pilot:
        await enter(pilot)
        await shows(pilot, "Alder")
        await pilot.press("ctrl+o")
        await shows(pilot, "1 Alder", "F8 deletes them")
        for key in ("ctrl+e", "ctrl+g"):
            await pilot.press(key)
            await shows(pilot, "Enter: save · Esc: back")
            await shows_not(pilot, "F8 deletes them")
            await pilot.press("escape")
            await shows(pilot, "1 Alder", "F8 deletes them")
        await pilot.press("ctrl+g")
        await shows(pilot, "Case to move it to")
        assert not numbered(pilot, "Alder"), "a digit is part of a name here"
        await pilot.press("escape", *"Bishop")
        await shows_not(pilot, "Alder")
        assert not numbered(pilot, "Bishop")
