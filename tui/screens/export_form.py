"""Asks for the reviewer's name and the file, and writes the export."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from edgemed.clinical.redaction import Review
from edgemed.errors import SetupError
from edgemed.tui.exporting import CLINICIAN, Export, path_of, problem_with
from edgemed.tui.messages import Opened
from edgemed.tui.screens.form import FormScreen
from edgemed.tui.screens.noticed import notices
from edgemed.tui.strings.export import export_strings


class ExportForm(FormScreen):
    """Shows a sentence and stays if the file cannot be written."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss", show=False)]

    def __init__(self, export: Export, review: Review) -> None:
        super().__init__(export.session.header)
        self._export = export
        self._review = review
        self._words = export_strings(export.session.language)
        self._reviewer = ""
        self._folder = Path.home()
        self._to_replace: Path | None = None

    def compose(self) -> ComposeResult:
        for number, widget in enumerate(super().compose()):
            yield widget if number else notices(self._export.session)

    def on_mount(self) -> None:
        self.run_worker(self._ask())

    async def _ask(self) -> None:
        words, review = self._words, self._review
        known = sum(each.known for each in review.kept)
        lines = [words.confirm.format(redacted=len(review.chosen), kept=len(review.kept)), words.incomplete]
        if known:
            lines.insert(1, words.confirm_known.format(count=known))
        self.fill(words.reviewer, "\n".join(lines), words.reviewer_hint)
        self._put(await self._export.remembered.get(CLINICIAN))
        self.show_keys(words.form_keys)
        self.post_message(Opened())

    def _put(self, text: str) -> None:
        self.field.value = text
        self.field.cursor_position = len(text)

    async def answered(self, text: str) -> None:
        if not self._reviewer:
            await self._take_reviewer(text)
        else:
            await self._write(text)

    async def _take_reviewer(self, text: str) -> None:
        if not text.strip():
            self.say(self._words.no_reviewer, failed=True)
            return
        self._reviewer = text.strip()
        suggested = await self._export.remembered.suggested()
        self._folder = suggested.parent
        self.fill(self._words.path, self._words.incomplete, self._words.path_hint)
        self._put(str(suggested))
        self.say("")

    async def _write(self, text: str) -> None:
        path = path_of(text, self._folder)
        if path is None:
            self.say(self._words.no_path, failed=True)
            return
        replace = path == self._to_replace
        self._to_replace = None
        if not replace and problem_with(path, self._words) == self._words.exists.format(path=path):
            self._to_replace = path
        try:
            await self._export.write(self._review, self._reviewer, path, replace=replace)
        except SetupError as error:
            self.say(str(error), failed=True)
            return
        self.app.notify(self._words.written.format(path=path), markup=False)
        self.dismiss()
