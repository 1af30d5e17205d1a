"""A checkpoint in the hub's cache on this machine: `snapshot("owner/name", None, ["*.safetensors"])`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edgemed.hub.connection import reach


def snapshot(repository: str, revision: str | None, patterns: Sequence[str]) -> Path:
    """The folder of a repository's files that match `patterns`; downloads what is missing. Raises HubError.

    Files that have arrived stay in the cache, so a second call goes on where the first one ended.
    """

    def download(address: str) -> Path:
        from huggingface_hub import snapshot_download  # slow to import

        return Path(snapshot_download(repository, revision=revision, allow_patterns=[*patterns], endpoint=address))

    return reach(repository, revision, download)
