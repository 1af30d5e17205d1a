"""The tests mirror the packages; `tests.support` builds tiny checkpoints and holds the numeric reference."""
