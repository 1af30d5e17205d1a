"""Where a checkpoint comes from: a folder on this machine, or a repository of the model hub."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from edgemed.architectures.config import Config
from edgemed.convert.json_files import read_json, read_optional_json
from edgemed.convert.known_digests import check_downloads
from edgemed.convert.shards import FP8_BLOCK, INDEX
from edgemed.errors import CheckpointError
from edgemed.hub.snapshot import snapshot

REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")
MARKING = "edgemed.json"
NAMED = (
    MARKING,
    INDEX,
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "generation_config.json",
    "chat_template.jinja",
)
SHARDS = "*.safetensors"
USES = ("demonstration", "unevaluated")


@dataclass(frozen=True, slots=True)
class Source:
    """A checkpoint folder and where it came from. `repository` and `revision` may be empty."""

    folder: Path
    name: str
    repository: str
    revision: str
    intended_use: str
    config: Config

    @property
    def files(self) -> list[Path]:
        """Every file that the conversion reads, or would read if it existed."""
        return [*(self.folder / name for name in NAMED), *self.folder.glob(SHARDS)]

    @property
    def fp8_block(self) -> tuple[int, int]:
        """Height and width of the blocks that share an FP8 scale. Raises CheckpointError for any other quantisation."""
        settings = self.config.section("quantization_config")
        if (method := settings.get("quant_method")) is None:
            return FP8_BLOCK
        size = settings.get("weight_block_size")
        if method != "fp8" or not isinstance(size, list) or len(size) != 2 or not all(_positive(side) for side in size):
            raise CheckpointError(
                f"The checkpoint is quantised by {method!r:.60}; edgemed converts BF16, F16, F32 and "
                "blockwise FP8; use a checkpoint in one of these."
            )
        return size[0], size[1]

    def digest(self, shards_digest: str) -> str:
        """SHA-256 over the shards' digest (names, sizes, headers), config.json and tokenizer.json."""
        state = hashlib.sha256(shards_digest.encode())
        for name in ("config.json", "tokenizer.json"):
            state.update(hashlib.sha256((self.folder / name).read_bytes()).digest())
        return state.hexdigest()


def find_source(where: str, revision: str | None = None) -> Source:
    """The checkpoint in the folder or hub repository `where`. Raises CheckpointError or HubError."""
    folder = _folder(where)
    repository = ""
    if not folder.is_dir():
        if folder.exists():
            raise CheckpointError(f"{where} is a file; give the checkpoint's folder, or a hub repository.")
        if not REPOSITORY.fullmatch(where):
            raise CheckpointError(f"There is no checkpoint folder {where}.")
        folder = snapshot(where, revision, [*NAMED, SHARDS])
        repository, revision = where, folder.name  # the cache names the folder of a snapshot by its commit
    check_downloads(folder / name for name in NAMED)
    marking = read_optional_json(folder / MARKING)
    use = marking.get("intended_use", "unevaluated")
    if use not in USES:
        raise CheckpointError(f"{MARKING} says intended_use = {use!r:.40}; it must be one of {', '.join(USES)}.")
    return Source(
        folder=folder,
        name=_text(marking, "name")
        or repository.rpartition("/")[2]
        or folder.resolve().name.encode(errors="replace").decode(),
        repository=_text(marking, "repository") or repository,
        revision=_text(marking, "revision") or revision or "",
        intended_use=use,
        config=Config(read_json(folder / "config.json")),
    )


def _folder(where: str) -> Path:
    try:
        return Path(where).expanduser()
    except RuntimeError:
        raise CheckpointError(f"There is no checkpoint folder {where}: this machine has no such user.") from None


def _text(marking: dict[str, object], key: str) -> str:
    value = marking.get(key, "")
    if not isinstance(value, str):
        raise CheckpointError(f"{MARKING} says {key} = {value!r:.40}, but it must be text.")
    return value


def _positive(side: object) -> bool:
    return type(side) is int and side > 0
