"""Checkpoints to GGUF: `convert("folder", Path("model.gguf"), Plan.uniform(4.5))`."""

from edgemed.convert.filling import Progress
from edgemed.convert.pipeline import Conversion, convert
from edgemed.convert.planning import Goal, Memory, Planned, hparams_of, plan_for
from edgemed.convert.source import Source, find_source

__all__ = [
    "Conversion",
    "Goal",
    "Memory",
    "Planned",
    "Progress",
    "Source",
    "convert",
    "find_source",
    "hparams_of",
    "plan_for",
]
