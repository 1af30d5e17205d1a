"""Conversations and the single function that asks an engine, independent of any interface."""
