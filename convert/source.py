"""Where weights come from: a folder or a GGUF on this machine, or a repository of the model hub."""

from __future__ import annotations

import re
from pathlib import Path

from edgemed.convert.checkpoint_folder import NAMED, SHARDS, CheckpointFolder
from edgemed.convert.gguf_source import GgufSource
from edgemed.convert.opened import Source
from edgemed.errors import CheckpointError
from edgemed.hub.snapshot import snapshot

REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")


def find_source(where: str, revision: str | None = None) -> Source:
    """The GGUF, checkpoint folder or hub repository `where`. Raises CheckpointError or HubError."""
    folder = _folder(where)
    repository = ""
    if not folder.is_dir():
        if folder.exists():
            return GgufSource.at(folder)
        if not REPOSITORY.fullmatch(where):
            raise CheckpointError(f"There is no checkpoint folder {where}.")
        folder = snapshot(where, revision, [*NAMED, SHARDS])
        repository, revision = where, folder.name  # the cache names the folder of a snapshot by its commit
    return CheckpointFolder.at(folder, repository, revision or "")


def _folder(where: str) -> Path:
    try:
        return Path(where).expanduser()
    except RuntimeError:
        raise CheckpointError(f"There is no checkpoint folder {where}: this machine has no such user.") from None
