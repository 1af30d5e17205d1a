"""Where weights come from: a folder or a GGUF on this machine, or a repository of the model hub."""

from __future__ import annotations

from pathlib import Path

from edgemed.convert.checkpoint_folder import NAMED, SHARDS, CheckpointFolder
from edgemed.convert.gguf_source import GgufSource
from edgemed.convert.opened import Source
from edgemed.errors import CheckpointError, HubError
from edgemed.hub.repository import NAME
from edgemed.hub.snapshot import snapshot


def find_source(where: str, revision: str | None = None) -> Source:
    """The GGUF, checkpoint folder or hub repository `where`. Raises CheckpointError or HubError."""
    folder = _folder(where)
    repository = ""
    if not folder.is_dir():
        if folder.exists():
            return GgufSource.at(folder)
        if not NAME.fullmatch(where):
            raise CheckpointError(f"There is no checkpoint folder {where}.")
        try:
            folder = snapshot(where, revision, [*NAMED, SHARDS])
        except HubError as error:  # a folder whose name is mistyped looks like a repository
            words = str(error)
            words = words if words.startswith("HF_") else words[0].lower() + words[1:]
            raise HubError(f"There is no folder {where} here, and {words}") from None
        if not (folder / "config.json").exists():
            raise CheckpointError(
                f"The hub's repository {where} holds no checkpoint; `edgemed pull {where}` lists its GGUF files."
            )
        repository, revision = where, folder.name  # the cache names the folder of a snapshot by its commit
    return CheckpointFolder.at(folder, repository, revision or "")


def _folder(where: str) -> Path:
    try:
        return Path(where).expanduser()
    except RuntimeError:
        raise CheckpointError(f"There is no checkpoint folder {where}: this machine has no such user.") from None
