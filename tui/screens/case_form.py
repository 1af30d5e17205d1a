"""The form with the fields of the case header."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.screen import Screen
from textual.widgets import Input, Label, Static

from edgemed.clinical.case import CLINICAL, IDENTITY, CaseHeader, label
from edgemed.tui.messages import Opened
from edgemed.tui.screens.noticed import notices
from edgemed.tui.session import ChatSession
from edgemed.tui.strings.case import case_strings

MOST_CHARACTERS = 1000
"""Of one field. It is sent with every question."""


class CaseForm(Screen[CaseHeader | None]):
    """Dismissed with the changed header; None if it is to stay as it was.

    `place`: what the model is told of it. `first`: the field that gets the focus.
    """

    AUTO_FOCUS = "Input"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+s", "save", show=False, priority=True),
        Binding("escape", "dismiss(None)", show=False),
        Binding("down", "app.focus_next", show=False),
        Binding("up", "app.focus_previous", show=False),
    ]

    def __init__(self, session: ChatSession, header: CaseHeader, place: str, first: str = CLINICAL[0]) -> None:
        super().__init__(classes="case-form")
        self._session = session
        self._header = header
        self._place = place
        self._first = first

    def compose(self) -> ComposeResult:
        words = case_strings(self._session.language)
        yield notices(self._session)
        yield Static(words.heading, classes="heading", markup=False)
        with VerticalScroll(classes="fields"):
            for sentence, names in ((words.told, CLINICAL), (words.screen_only, IDENTITY)):
                yield Static(sentence, classes="explanation", markup=False)
                for name in names:
                    with Horizontal(classes="field"):
                        yield Label(label(name, self._session.language), markup=False)
                        yield Input(
                            getattr(self._header, name),
                            placeholder=words.hints[name],
                            id=name,
                            compact=True,
                            max_length=MOST_CHARACTERS,
                            select_on_focus=False,
                        )
            told = words.place.format(place=self._place) if self._place else words.place_unset
            yield Static(told, classes="explanation", markup=False)
        yield Static(words.keys, classes="keys", markup=False)

    def on_mount(self) -> None:
        self.query_one(VerticalScroll).can_focus = False
        self.query_one(f"#{self._first}").focus()
        self.post_message(Opened())

    @on(Input.Submitted)
    def _next(self, submitted: Input.Submitted) -> None:
        submitted.stop()
        if submitted.input is self.query(Input).last():
            self.action_save()
        else:
            self.focus_next()

    def action_save(self) -> None:
        if self.is_current:
            self.dismiss(CaseHeader.of({str(field.id): field.value for field in self.query(Input)}))
