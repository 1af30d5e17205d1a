"""Shared by the tests: tiny checkpoints, an independent forward pass, and child processes that run the engine."""
