"""edgemed: a private clinical chat on a mixture of experts larger than the machine's memory."""

__version__ = "0.1.0"
