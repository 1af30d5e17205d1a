"""Markdown as lines of text that show every character of the model's text, and as plain text for copies."""

from edgemed.tui.markdown.drawing import Drawing, Line, plain_text

__all__ = ["Drawing", "Line", "plain_text"]
