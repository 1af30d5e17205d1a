"""Helpers of tests and benchmarks: tiny checkpoints, a fake engine, fault injection, a reference forward pass."""
