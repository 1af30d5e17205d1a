"""A widget that paints a `Drawing`: one widget for a whole answer, whose text can grow and can be selected."""

from __future__ import annotations

from itertools import pairwise
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region, Size
from textual.selection import Selection
from textual.strip import Strip
from textual.widget import Widget

from edgemed.tui.markdown import Drawing, Line
from edgemed.tui.markdown.drawing import SPACES
from edgemed.tui.markdown.rows import RULE

_EMPHASIS = {"bold": Style(bold=True), "italic": Style(italic=True), "underline": Style(underline=True)}


class Drawn(Widget):
    """Markdown, or plain text with `markdown=False`.

    Selected text is taken from the rows, so it has no line ends where the screen breaks a row. A selection's offset is
    (characters from the start of the row's lead, the row's number).
    """

    COMPONENT_CLASSES: ClassVar[set[str]] = {"drawn--code", "drawn--rule"}
    DEFAULT_CSS = "Drawn { width: 1fr; height: auto; }"

    def __init__(self, text: str = "", *, markdown: bool = True, classes: str | None = None) -> None:
        super().__init__(classes=classes)
        self._markdown = markdown
        self._drawing = Drawing(text, markdown=markdown)

    def update(self, text: str) -> None:
        """Replace the text."""
        self._drawing = Drawing(text, markdown=self._markdown)
        self.refresh(layout=True)

    def append(self, text: str) -> None:
        """Add text at the end. Without a new line there is no layout, and only the lines that changed are painted."""
        width = self.columns
        before = self._drawing.lines(width) if width else []
        self._drawing.append(text)
        after = self._drawing.lines(width) if width else []
        if not after or len(after) != len(before):
            self.refresh(layout=True)
            return
        changed = [number for number, lines in enumerate(zip(before, after, strict=True)) if lines[0] != lines[1]]
        if changed:
            self.refresh(Region(0, changed[0], width, len(after) - changed[0]))

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        return len(self._drawing.lines(width))

    def render_line(self, y: int) -> Strip:
        width, base = self.content_size.width, self.rich_style
        lines = self._drawing.lines(width)
        if y >= len(lines):
            return Strip.blank(width, base)
        line = lines[y]
        lead = Strip([Segment(line.lead.translate(SPACES), self._styled("rule" if "▌" in line.lead else "", base))])
        if line.row.filled:
            body = Strip([Segment(RULE * max(0, width - lead.cell_length), self._styled("rule", base))])
        else:
            body = Strip(self._segments(line, base)).apply_offsets(len(line.row.lead) + line.start, line.number)
        if not line.start:
            lead = lead.apply_offsets(0, line.number)
        return Strip.join([lead, body]).adjust_cell_length(width, base)

    def _segments(self, line: Line, base: Style) -> list[Segment]:
        """The line's text, cut where its style changes."""
        text = line.row.text[line.start : line.end].rstrip().translate(SPACES)
        first, last = line.start, line.start + len(text)
        spans = [(start - first, end - first, self._styled(name, Style.null())) for start, end, name in line.row.spans]
        if selected := self._selected(line):
            spans.append((*selected, self.screen.get_component_rich_style("screen--selection")))
        cuts = sorted({0, last - first, *(min(max(cut, 0), last - first) for span in spans for cut in span[:2])})
        segments = []
        for start, end in pairwise(cuts):
            style = base
            for left, right, added in spans:
                if left <= start and end <= right:
                    style += added
            segments.append(Segment(text[start:end], style))
        return segments

    def _selected(self, line: Line) -> tuple[int, int] | None:
        """The selected part of the line's text, counted from the line's start."""
        span = self.text_selection.get_span(line.number) if self.text_selection else None
        if span is None:
            return None
        before = len(line.row.lead) + line.start
        return span[0] - before, len(line.row.text) if span[1] < 0 else span[1] - before

    def _styled(self, names: str, style: Style) -> Style:
        for name in names.split():
            known = _EMPHASIS.get(name)
            style += known if known is not None else self.get_component_rich_style(f"drawn--{name}", partial=True)
        return style

    def get_selection(self, selection: Selection) -> tuple[str, str] | None:
        rows = self._drawing.rows(self.content_size.width)
        texts = (row.lead.replace("▌", " ") + ("" if row.filled else row.text) for row in rows)
        return selection.extract("\n".join(texts).translate(SPACES)), "\n"

    def selection_updated(self, selection: Selection | None) -> None:
        self.refresh()

    @property
    def columns(self) -> int:
        """The width of the text on the screen, which decides the form of tables."""
        return self.content_size.width

    @property
    def shown(self) -> str:
        """The lines as they are drawn."""
        return "\n".join(line.text for line in self._drawing.lines(self.columns))
