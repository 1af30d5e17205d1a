"""The tree of turns against a simple reference, under random sequences of everything that can be done to it."""

from __future__ import annotations

import pytest
from hypothesis import settings

from tests.chat.tree_machine import TreeMachine

pytestmark = pytest.mark.slow

TestTree = TreeMachine.TestCase
TestTree.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
