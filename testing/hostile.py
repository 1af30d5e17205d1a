"""Open hostile files: the result must be the open file or a sentence that refuses it."""

import tracemalloc
from pathlib import Path
from typing import Literal

from edgemed.errors import ModelFileError
from edgemed.model_file import ModelFile, open_model

Layout = Literal["edgemed", "llama.cpp"]
LAYOUTS: tuple[Layout, ...] = ("edgemed", "llama.cpp")


def try_to_open(path: Path) -> ModelFile | str:
    """Return the open file, or the sentence that refuses it. Fail on any other exception and on high memory use."""
    tracemalloc.start()
    try:
        return open_model(path)
    except ModelFileError as error:
        return str(error)
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 16 << 20


def refused(path: Path, content: bytes) -> str:
    """Write the content, assert that it is refused with a sentence, and return the sentence."""
    path.write_bytes(content)
    message = try_to_open(path)
    assert isinstance(message, str)
    assert message.endswith(".")
    assert "\n" not in message
    return message
