from collections.abc import Iterator

import pytest

from edgemed.native.instructions import Instructions
from testing.processor import instructions_here, limited_to


@pytest.fixture(scope="module", params=instructions_here(), ids=lambda which: which.name)
def instructions(request: pytest.FixtureRequest) -> Iterator[Instructions]:
    """Runs the test on each instruction set of this processor."""
    with limited_to(request.param):
        yield request.param
