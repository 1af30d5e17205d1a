"""Reading a checkpoint's JSON files, with limits on their size and content."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from edgemed.convert.safetensors import refuse_pointer
from edgemed.errors import CheckpointError
from edgemed.sizes import file_size

MAX_JSON_BYTES = 256 << 20


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in `path`. Raises CheckpointError if the file is missing or holds anything else."""
    try:
        if file_size(path) > MAX_JSON_BYTES:
            raise CheckpointError(
                f"{path.name} is larger than {MAX_JSON_BYTES >> 20} MiB, the most that is read; download it again."
            )
        raw = path.read_bytes()
        refuse_pointer(path, raw)
        document = json.loads(raw)
        if b"\\ud" in raw.lower():
            # Half of a surrogate pair is valid JSON but cannot be encoded as text; encoding it raises ValueError here.
            json.dumps(document, ensure_ascii=False).encode()
    except FileNotFoundError:
        raise CheckpointError(f"The checkpoint has no {path.name}; copy the whole folder.") from None
    except OSError as error:
        raise CheckpointError(f"{path.name} cannot be read: {error.strerror}.") from None
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path.name} is not valid JSON ({error}); download it again.") from None
    if not isinstance(document, dict):
        raise CheckpointError(f"{path.name} is not a JSON object; download it again.")
    return document


def read_optional_json(path: Path) -> dict[str, Any]:
    """Like `read_json`, but an empty object if there is no such file."""
    return read_json(path) if path.exists() else {}
