"""The seeded faults can still be seeded: each line is in its file, once."""

from __future__ import annotations

import ast

import pytest

from tests.seeded_faults import FAULTS, NEEDED, ROOT, Fault


def test_there_are_twelve_faults_in_twelve_files() -> None:
    assert len(FAULTS) == len({fault.file for fault in FAULTS}) == len({fault.name for fault in FAULTS}) == 12
    assert NEEDED == 10


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_changes_one_line_that_exists(fault: Fault) -> None:
    text = (ROOT / fault.file).read_text("utf-8")
    assert text.count(fault.line + "\n") == 1
    assert fault.faulty != fault.line
    assert "\n" not in fault.line + fault.faulty
    if fault.file.endswith(".py"):
        ast.parse(text.replace(fault.line, fault.faulty))
