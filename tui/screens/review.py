"""The review of what the redaction rules found in a text. Nothing is exported that a person has not read to its end."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import Screen
from textual.widgets import Input, Static

from edgemed.chat.visible import visible
from edgemed.clinical.redaction import Identifier, Review
from edgemed.tui.exporting import kind_name, listing, one_line, state_of
from edgemed.tui.messages import Opened
from edgemed.tui.screens.noticed import notices
from edgemed.tui.session import ChatSession
from edgemed.tui.strings.export import export_strings
from edgemed.tui.widgets.reviewed import ReviewedText


class ReviewScreen(Screen[Review | None]):
    """Dismissed with the review; None if there is to be no export."""

    AUTO_FOCUS = "VerticalScroll"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("n,right", "step(1)", show=False),
        Binding("p,left", "step(-1)", show=False),
        Binding("space", "toggle_finding", show=False),
        Binding("a", "equal(False)", show=False),
        Binding("k", "equal(True)", show=False),
        Binding("r", "redact", show=False),
        Binding("y", "done", show=False),
        Binding("escape", "back", show=False),
    ]

    def __init__(self, session: ChatSession, review: Review) -> None:
        super().__init__()
        self._session = session
        self._review = review
        self._words = export_strings(session.language)
        self._current: Identifier | None = None
        self._read = False  # whether the end of the text was on the screen

    def compose(self) -> ComposeResult:
        yield notices(self._session)
        yield Static("", classes="heading", markup=False)
        yield Static(self._words.incomplete, classes="warning", markup=False)
        with VerticalScroll(classes="page"):
            yield ReviewedText(self._review)
        yield Static("", classes="finding", markup=False)
        with VerticalScroll(classes="kinds"):
            yield Static("", markup=False)
        field = Input(placeholder=self._words.word, select_on_focus=False)
        field.display = False
        yield field
        yield Static("", classes="keys", markup=False)

    def on_mount(self) -> None:
        self.watch(self._page, "scroll_y", self._look, init=False)
        self._current = next(iter(self._review.found), None)
        self._show()
        self.call_after_refresh(self._first_look)
        self.post_message(Opened())

    @property
    def _page(self) -> VerticalScroll:
        return self.query_one(".page", VerticalScroll)

    @property
    def _text(self) -> ReviewedText:
        return self.query_one(ReviewedText)

    # --- what is shown ---

    def _show(self) -> None:
        review, words = self._review, self._words
        if self._current not in review.found:
            self._current = next(iter(review.found), None)
        self._text.show(self._current)
        counts = {"found": len(review.found), "kept": len(review.kept), "redacted": len(review.chosen)}
        self.query_one(".heading", Static).update(words.heading.format(**counts))
        self.query_one(".finding", Static).update(self._finding())
        self.query_one(".kinds Static", Static).update(visible("\n".join(listing(review, self._session))))
        self._show_keys()

    def _finding(self) -> str:
        """The current finding in words."""
        each, review = self._current, self._review
        if each is None:
            return self._words.none_found
        return self._words.place.format(
            number=review.found.index(each) + 1,
            count=len(review.found),
            kind=kind_name(each.kind, self._session),
            words=visible(one_line(review.words(each))),
            state=state_of(review, each, review.labels().get(each), self._words),
        )

    def _show_keys(self) -> None:
        words = self._words
        typing = self.query_one(Input).display
        lines = [words.word_keys] if typing else [words.keys, words.done_key if self._read else words.read_to_end]
        self.query_one(".keys", Static).update("\n".join(lines))

    def _first_look(self) -> None:
        """The layout is known now: show the first finding."""
        self._reveal()
        self._look()

    def _look(self) -> None:
        """Note whether the end of the text is on the screen."""
        page = self._page
        if not self._read and page.size.height and page.scroll_y >= page.max_scroll_y:
            self._read = True
            self._show_keys()

    def _reveal(self) -> None:
        """Scroll until the current finding is on the screen."""
        if self._current is None:
            return
        line, page = self._text.line_of(self._current.start), self._page
        if not page.scroll_y <= line < page.scroll_y + page.size.height:
            page.scroll_to(y=max(0, line - page.size.height // 3), animate=False)

    # --- keys ---

    def action_step(self, step: int) -> None:
        """Go to the next finding, or to the one before."""
        found = self._review.found
        if self._current is not None:
            place = found.index(self._current) + step
            self._current = found[max(0, min(place, len(found) - 1))]
            self._show()
            self._reveal()

    def action_toggle_finding(self) -> None:
        """Keep the current finding, or redact it again."""
        if self._current is not None:
            self._review.toggle(self._current)
            self._show()

    def action_equal(self, keep: bool) -> None:
        """Keep or redact all findings with the same words as the current one."""
        if self._current is not None:
            self._review.decide_equal(self._current, keep=keep)
            self._show()

    def action_redact(self) -> None:
        """Redact what the mouse has selected, or ask for words."""
        selected = self._text.selected
        if selected is None:
            self._ask(True)
            return
        self._review.mark(*selected)
        self.clear_selection()
        self._go_to(selected[0])

    def _go_to(self, offset: int) -> None:
        """Make the finding at `offset`, or the next one, the current one."""
        self._current = next((each for each in self._review.found if each.end > offset), None)
        self._show()
        self._reveal()

    def _ask(self, asks: bool) -> None:
        field = self.query_one(Input)
        field.clear()
        field.display = asks
        self.set_focus(field if asks else self._page)
        self._show_keys()

    @on(Input.Submitted)
    def _marked(self, submitted: Input.Submitted) -> None:
        submitted.stop()
        typed = submitted.value.strip()
        if typed and not self._review.mark_all(typed):
            self.notify(self._words.not_found.format(words=visible(typed)), markup=False)
            return
        self._ask(False)
        self._show()

    def action_back(self) -> None:
        """Leave the field, or the review without an export."""
        if self.query_one(Input).display:
            self._ask(False)
        else:
            self.dismiss(None)

    def action_done(self) -> None:
        """Go on to the file, once the end of the text was on the screen."""
        if not self._read:
            self.notify(self._words.read_to_end, markup=False)
        elif self.is_current:
            self.dismiss(self._review)
