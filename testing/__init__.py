"""Shared by tests and benchmarks: tiny checkpoints, a fake engine, fault injection, an independent forward pass."""
