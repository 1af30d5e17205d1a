"""Markdown that shows every character of the model's text: one parser and the renderable for old answers."""

from edgemed.tui.markdown.faithful import FaithfulParser
from edgemed.tui.markdown.frozen import FrozenMarkdown

__all__ = ["FaithfulParser", "FrozenMarkdown"]
