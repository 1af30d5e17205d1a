"""Checkpoints to GGUF: `convert("folder", Path("model.gguf"), Plan.uniform(4.5))`."""

from edgemed.convert.checkpoint import Checkpoint
from edgemed.convert.opened import Source
from edgemed.convert.pipeline import Conversion, convert
from edgemed.convert.source import find_source
from edgemed.convert.writer import Progress

__all__ = ["Checkpoint", "Conversion", "Progress", "Source", "convert", "find_source"]
