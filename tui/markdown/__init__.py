"""Markdown in which every character of the model's text survives: one parser, a live widget and a frozen picture."""

from edgemed.tui.markdown.faithful import FaithfulParser
from edgemed.tui.markdown.frozen import FrozenMarkdown

__all__ = ["FaithfulParser", "FrozenMarkdown"]
