"""Every question of a user goes through `edgemed.chat.service.ask`, so that no hook can be bypassed."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("edgemed", "convert", "quant", "tui", "benchmarks", "recipes", "testing", "tests", "tools")

SERVICE = "edgemed/chat/service.py"
EXCEPTIONS = {
    "edgemed/engine/process/worker.py": "the child's session, which answers what the service has asked",
    "edgemed/commands/bench.py": "measures the client; its questions are invented and its answers thrown away",
    "benchmarks/hot_topics.py": "the same",
    "tests/engine/": "tests of the client itself",
}
"""The other files that may name `generate`, and why. `eval` and `calibrate` load a model in a job and need no entry."""


LOOK_UPS = ("getattr", "attrgetter", "methodcaller")


def named(source: str) -> Iterator[int]:
    """The lines that name an attribute `generate`, whether they call it, pass it on or look it up by name."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and node.attr == "generate":
            yield node.lineno
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in LOOK_UPS:
            words = (each for each in node.args if isinstance(each, ast.Constant))
            yield from (each.lineno for each in words if each.value == "generate")


def files() -> dict[str, list[int]]:
    """Path -> the lines that name `generate`, for every Python file of the repository that has any."""
    found = {}
    for folder in FOLDERS:
        for path in (ROOT / folder).rglob("*.py"):  # symbolic links are not followed: each file once
            if lines := list(named(path.read_text())):
                found[path.relative_to(ROOT).as_posix()] = lines
    return found


@pytest.mark.slow
def test_only_the_service_asks_an_engine() -> None:
    others = {path: lines for path, lines in files().items() if path != SERVICE}
    unknown = {path: lines for path, lines in others.items() if not path.startswith(tuple(EXCEPTIONS))}
    assert not unknown, "ask through edgemed.chat.service.ask"


@pytest.mark.slow
def test_every_exception_is_still_one() -> None:
    found = files()
    assert len(found[SERVICE]) == 1
    for place in EXCEPTIONS:
        assert any(path.startswith(place) for path in found), place


@pytest.mark.parametrize(
    ("source", "lines"),
    [
        ("engine.generate([])", [1]),
        ("x = 1\nask = engine.generate", [2]),
        ("getattr(engine, 'generate')()", [1]),
        ("def generate(): ...\ngenerate()", []),
        ("'generate'", []),
    ],
)
def test_what_counts_as_asking(source: str, lines: list[int]) -> None:
    assert list(named(source)) == lines
