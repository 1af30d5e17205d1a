"""The list of chats: find, open, rename, pin, move to a case, delete."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, cast

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import Screen
from textual.widgets import Input, OptionList, Static

from edgemed.errors import VaultError
from edgemed.tui.chat_list import Row, folded, jump, matching, ordered, previous, toggled, with_hits
from edgemed.tui.kept import Kept
from edgemed.tui.private_app import PrivateApp
from edgemed.tui.reasons import reason_in
from edgemed.tui.screens.noticed import notices
from edgemed.tui.session import ChatSession
from edgemed.tui.strings.vault import vault_strings
from edgemed.tui.widgets.chat_rows import ChatRows

FEWEST_SEARCHED = 2
"""Characters; shorter text is looked for in titles only."""

Mode = Literal["find", "rename", "move"]


@dataclass(frozen=True, slots=True)
class Chosen:
    """The chat to open, and the turn that a search found in it."""

    chat_id: str
    turn_id: str | None = None


class ChatsScreen(Screen[Chosen | None]):
    """Dismissed with the chat to open, or None. What is typed filters at once; one digit means a row."""

    AUTO_FOCUS = "Input"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "back", show=False, priority=True),
        Binding("ctrl+o", "back", show=False, priority=True),
        Binding("up", "move_cursor('cursor_up')", show=False, priority=True),
        Binding("down", "move_cursor('cursor_down')", show=False, priority=True),
        Binding("pageup", "move_cursor('page_up')", show=False, priority=True),
        Binding("pagedown", "move_cursor('page_down')", show=False, priority=True),
        Binding("delete,ctrl+d", "delete", show=False, priority=True),
        Binding("ctrl+t", "pin", show=False, priority=True),
        Binding("ctrl+e", "ask('rename')", show=False, priority=True),
        Binding("ctrl+g", "ask('move')", show=False, priority=True),
        Binding("f8", "delete_stale", show=False, priority=True),
    ]

    def __init__(
        self, session: ChatSession, kept: Kept, current: str, opened: Sequence[str], running: set[str]
    ) -> None:
        super().__init__()
        self._session = session
        self._words = vault_strings(session.language)
        self._kept = kept
        self._current = current
        self._opened = opened
        self._answering = running
        self._rows: list[Row] = []
        self._mode: Mode = "find"
        self._subject: Row | None = None  # what is being renamed or moved
        self._searching: asyncio.Task[None] | None = None

    def compose(self) -> ComposeResult:
        yield notices(self._session)
        yield Input(select_on_focus=False, placeholder=self._words.find)
        yield ChatRows(self._words)
        yield Static("", classes="message", markup=False)
        yield Static(self._words.list_keys, classes="keys", markup=False)

    async def on_mount(self) -> None:
        await self._load()
        self._find(self.field.value)
        self.call_after_refresh(cast(PrivateApp, self.app).resume_input)

    @property
    def field(self) -> Input:
        return self.query_one(Input)

    @property
    def shown(self) -> ChatRows:
        return self.query_one(ChatRows)

    @property
    def closed(self) -> bool:
        """Whether the list is gone: it may be closed while the vault is asked."""
        return not self.query(".message") or not self.query(ChatRows)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """A key may arrive while the list is closed."""
        return not self.closed and super().check_action(action, parameters)

    async def _load(self) -> None:
        self._rows = ordered(await self._kept.rows(self._answering, self._words))
        if not self.closed:
            self._say_stale()

    def _say_stale(self) -> None:
        stale = sum(row.stale and not row.deleted for row in self._rows)
        self._say(self._words.stale_keys.format(count=stale) if stale else "")

    def _say(self, sentence: str) -> None:
        line = self.query_one(".message", Static)
        line.update(sentence)
        line.display = bool(sentence)

    # --- finding ---

    @on(Input.Changed)
    def _changed(self, changed: Input.Changed) -> None:
        changed.stop()
        if self._mode == "find":
            self._find(changed.value)
        elif self._mode == "move":
            self._show_cases(changed.value)

    def _find(self, query: str) -> None:
        """Show what matches in titles now, and what matches in texts as soon as it is found."""
        if self._searching is not None:
            self._searching.cancel()
            self._searching = None
        place = jump(query, len(self._rows))
        self.shown.numbered = place is not None or not query.strip()
        if place is not None or not query.strip():
            self.shown.show(self._rows, previous(self._rows, self._current, self._opened) if place is None else place)
            return
        titles = matching(self._rows, query)
        self.shown.show(titles, 0)
        if len(query.strip()) >= FEWEST_SEARCHED or not query.isascii():
            self._searching = asyncio.create_task(self._find_in_texts(query, titles))

    async def _find_in_texts(self, query: str, titles: list[Row]) -> None:
        # On another thread: the interface stays alive however much there is to search.
        hits = await asyncio.to_thread(self._kept.find, query, self._rows)
        if self.closed:
            return
        place = self.shown.highlighted or 0
        rows = with_hits(titles, hits)
        self.shown.show(rows, min(place, len(rows) - 1) if rows else None)
        if not rows:
            self._say(self._words.nothing_found)

    # --- opening ---

    @on(Input.Submitted)
    async def _submitted(self, submitted: Input.Submitted) -> None:
        submitted.stop()
        if self._mode == "find":
            if self._searching is not None:
                await self._searching  # Enter may follow the last letter at once
            self._choose(self.shown.chosen)
        elif submitted.value.strip() or self._mode == "move":
            await self._take(submitted.value.strip())

    @on(OptionList.OptionSelected)
    async def _clicked(self) -> None:
        if self._mode == "find":
            self._choose(self.shown.chosen)

    def _choose(self, row: Row | None) -> None:
        if row is not None and not row.deleted and self.is_current:
            cast(PrivateApp, self.app).pause_input()
            self.dismiss(Chosen(row.chat_id, row.turn_id))

    def action_back(self) -> None:
        """Leave what is being typed; with nothing typed, return to the chat."""
        if self._mode != "find":
            self._enter_find()
        elif self.field.value:
            self.field.clear()
        elif self.is_current:
            self.dismiss(None)

    def action_move_cursor(self, action: str) -> None:
        getattr(self.shown, f"action_{action}")()

    # --- changing ---

    async def action_delete(self) -> None:
        """Delete the chat under the cursor; a second time brings it back."""
        row = self.shown.chosen
        if row is not None and self._mode == "find" and row.chat_id not in self._answering:
            await self._delete([row], deleted=not row.deleted)

    async def action_delete_stale(self) -> None:
        """Delete all that was not touched for 30 days. Each chat can be brought back."""
        if self._mode == "find":
            stale = [row for row in self._rows if row.stale and not row.deleted and row.chat_id not in self._answering]
            await self._delete(stale, deleted=True)

    async def _delete(self, rows: Sequence[Row], *, deleted: bool) -> None:
        place = self.shown.highlighted
        if await self._done(self._kept.delete(rows, deleted=deleted)):
            # The rows stay where they are until the list is opened again, so that the same key brings them back.
            self._rows = toggled(self._rows, rows, deleted=deleted)
            self.shown.show(toggled(self.shown.rows, rows, deleted=deleted), place)
            self._say(self._words.erased if deleted else "")

    async def action_pin(self) -> None:
        """Keep the chat at the top, or no longer."""
        row = self.shown.chosen
        if row is None or row.deleted or self._mode != "find":
            return
        if await self._done(self._kept.pin_chat(row.chat_id, not row.pinned)):
            await self._reload(row.chat_id)

    def action_ask(self, mode: Mode) -> None:
        """Use the field for a new title or a case."""
        row = self.shown.chosen
        if row is None or row.deleted or self._mode != "find":
            return
        self._mode, self._subject = mode, row
        self.field.placeholder = self._words.rename if mode == "rename" else self._words.move
        self.field.value = row.title if mode == "rename" else ""
        self.field.cursor_position = len(self.field.value)
        self.query_one(".keys", Static).update(self._words.input_keys)
        self._say("")  # it names a key that does nothing here
        if mode == "move":
            self._show_cases("")

    def _show_cases(self, query: str) -> None:
        """The cases to move to, by title; what is typed becomes a new one if it is no case."""
        assert self._subject is not None
        cases = {row.case_id: Row("", row.case, row.changed, row.case_id) for row in self._rows if row.case_id}
        rows = matching(list(cases.values()), query)
        self.shown.numbered = False
        known = any(folded(row.title) == folded(query.strip()) for row in rows)
        if query.strip() and not known:
            rows.append(Row("", self._words.new_case.format(title=query.strip()), self._subject.changed))
        elif not query.strip():
            rows.append(Row("", self._words.without_case, self._subject.changed))
        self.shown.show(rows, 0)

    async def _take(self, typed: str) -> None:
        """Save the new title, or move the chat."""
        assert self._subject is not None
        row, target = self._subject, self.shown.chosen
        if self._mode == "rename":
            change = self._kept.rename(row.chat_id, typed)
        else:
            case_id = target.case_id if target is not None else None
            change = self._kept.move(row.chat_id, case_id, "" if case_id else typed)
        if await self._done(change):
            self._enter_find()
            await self._reload(row.chat_id)

    def _enter_find(self) -> None:
        self._mode, self._subject = "find", None
        self.field.placeholder = self._words.find
        self.query_one(".keys", Static).update(self._words.list_keys)
        self._say_stale()
        self.field.value = ""
        self._find("")

    async def _reload(self, chat_id: str) -> None:
        await self._load()
        if self.closed:
            return
        self._find(self.field.value)
        places = [index for index, row in enumerate(self.shown.rows) if row.chat_id == chat_id]
        if places:
            self.shown.highlighted = places[0]

    async def _done(self, change: Coroutine[None, None, None]) -> bool:
        """Wait for a change; say why if the vault refuses it."""
        try:
            await change
        except VaultError as error:
            if not self.closed:
                self._say(reason_in(self._session.language, str(error)))
            return False
        return not self.closed
