"""The tests mirror the packages; `testing` builds tiny checkpoints and holds the numeric reference."""
