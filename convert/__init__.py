"""Checkpoints to GGUF: `convert("folder", Path("model.gguf"), Plan.uniform(4.5))`."""

from edgemed.convert.pipeline import Conversion, Progress, convert
from edgemed.convert.source import find_source

__all__ = ["Conversion", "Progress", "convert", "find_source"]
