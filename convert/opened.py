"""What a conversion needs of its source, whatever kind of source it is: a checkpoint folder or a GGUF."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from gguf import GGUFWriter

from edgemed.architectures import Architecture
from edgemed.arrays import Floats


class Weights(Protocol):
    """Weights by name, read in ranges of rows. Reading is thread-safe."""

    @property
    def stamps(self) -> list[tuple[str, tuple[int, ...]]]:
        """Name, and size, times and inode, of every file: a resumed conversion compares them to notice other files."""

    def checksum(self, names: Iterable[str]) -> int:
        """XXH3-64 of the stored bytes of these tensors. Raises CheckpointError."""

    def read(self, name: str, first_row: int, rows: int) -> Floats:
        """Rows `first_row` to `first_row + rows` of a tensor as finite float32 [rows, columns]; a vector is one row.

        Raises CheckpointError.
        """

    def close(self) -> None: ...


class Vocabulary(Protocol):
    """The tokenizer and the chat template."""

    @property
    def chat_template(self) -> str | None: ...

    @property
    def special_texts(self) -> dict[str, str]:
        """`bos_token` and the like, as chat templates name them; empty for an absent one."""

    def write(self, writer: GGUFWriter) -> None:
        """Add the tokenizer's keys."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A source whose headers were read and whose tensors were checked.

    digest: SHA-256 that identifies the source. in_gguf: its tensors have a GGUF's names and values, so that
    `Mapped.source` and `Mapped.change` do not apply. notes: sentences the user should read.
    """

    weights: Weights
    hparams: Architecture
    tokenizer: Vocabulary
    digest: str
    in_gguf: bool = False
    notes: list[str] = field(default_factory=list)


class Source(Protocol):
    """Where the weights come from, and what is known of their origin. `repository` and `revision` may be empty.

    made_from: the GGUF that is converted and its types; empty for a checkpoint. files: every file that the conversion
    reads, or would read if it existed.
    """

    @property
    def name(self) -> str: ...
    @property
    def repository(self) -> str: ...
    @property
    def revision(self) -> str: ...
    @property
    def intended_use(self) -> str: ...
    @property
    def made_from(self) -> str: ...
    @property
    def files(self) -> list[Path]: ...

    def open(self) -> Opened:
        """Read and check everything but the weights. Raises CheckpointError."""
