"""A GGUF as the source of a conversion: any file that the engine can open, in either layout and in any types.

    edgemed convert MODEL-Q8_0.gguf -o model.gguf --bits 3.2

The weights are those that the file's blocks stand for, so what an earlier quantisation lost stays lost.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gguf import GGMLQuantizationType as Type
from gguf import GGUFValueType, GGUFWriter

from edgemed.convert.gguf_weights import GgufWeights, with_head
from edgemed.convert.opened import Opened
from edgemed.errors import CheckpointError, ModelFileError
from edgemed.model_file import ModelFile, keys, open_model
from edgemed.model_file.metadata import Metadata
from edgemed.quant import types

_FEWEST_BITS = types.bits_per_weight(Type.Q6_K)
_COPIED = ("tokenizer.", "general.sampling.", keys.END_OF_GENERATION_IDS)
"""Prefixes of the keys that are copied as they are: vocabulary, chat template, recommended sampling."""


@dataclass(frozen=True, slots=True)
class CopiedVocabulary:
    """The tokenizer of a GGUF, copied key by key."""

    metadata: Metadata

    @property
    def chat_template(self) -> str | None:
        return self.metadata.text("tokenizer.chat_template")

    @property
    def special_texts(self) -> dict[str, str]:
        """`bos_token` and the like, as chat templates name them; empty for an absent one."""
        tokens = self.metadata.get("tokenizer.ggml.tokens") or []
        found = {}
        for name in ("bos", "eos", "padding"):
            number = self.metadata.get(f"tokenizer.ggml.{name}_token_id")
            text = tokens[number] if isinstance(number, int) and 0 <= number < len(tokens) else ""
            found["pad_token" if name == "padding" else f"{name}_token"] = text
        return found

    def write(self, writer: GGUFWriter) -> None:
        """Add the keys with their types. Strings are copied as bytes, since they need not be UTF-8."""
        for key in self.metadata:
            if key.startswith(_COPIED):
                value, kind, item = self.metadata.typed(key)
                writer.add_key_value(
                    key, value, GGUFValueType(kind), sub_type=None if item is None else GGUFValueType(item)
                )


@dataclass(frozen=True, slots=True)
class GgufSource:
    """A GGUF and what it says of its origin: a `Source`."""

    model: ModelFile

    @classmethod
    def at(cls, path: Path) -> GgufSource:
        """The GGUF at `path`. Raises CheckpointError."""
        try:
            return cls(open_model(path))
        except ModelFileError as error:
            raise CheckpointError(f"The source is a file, so it must be a GGUF: {error}") from None

    @property
    def name(self) -> str:
        return self.model.name

    @property
    def repository(self) -> str:
        return self.model.metadata.text(keys.SOURCE_REPOSITORY) or ""

    @property
    def revision(self) -> str:
        return self.model.metadata.text(keys.SOURCE_REVISION) or ""

    @property
    def intended_use(self) -> str:
        """An evaluation holds for the evaluated file only."""
        use = self.model.intended_use
        return "unevaluated" if use == "evaluated" else use

    @property
    def made_from(self) -> str:
        counts = Counter(tensor.type.name for tensor in self.model.tensors.values())
        return f"{self.model.path.name} ({', '.join(f'{count:,} {name}' for name, count in counts.most_common())})"

    @property
    def files(self) -> list[Path]:
        return [part.path for part in self.model.parts]

    def open(self) -> Opened:
        """Check that every tensor is there, and the weights outside the experts against their checksums.

        Raises CheckpointError.
        """
        model = self.model
        try:
            _check_tensors(model)
            weights = GgufWeights(model)
        except ModelFileError as error:
            raise CheckpointError(str(error)) from None
        return Opened(
            weights=weights,
            hparams=model.hparams,
            tokenizer=CopiedVocabulary(model.metadata),
            digest=_digest(model.tensors, model.weights_digest),
            in_gguf=True,
            notes=_notes(model),
        )


def _check_tensors(model: ModelFile) -> None:
    """Raise CheckpointError unless the file's tensors are exactly the architecture's."""
    wanted = {mapped.target: mapped.shape[::-1] for mapped in model.hparams.dense_tensors()}
    stored = {tensor.name: tensor.shape for tensor in with_head(model)}
    for name, shape in wanted.items():
        if name not in stored:
            raise CheckpointError(f"{model.path.name} has no tensor {name}; use a complete model file.")
        if _squeezed(stored[name]) != _squeezed(shape):
            raise CheckpointError(f"{model.path.name} has {name} in the shape {stored[name]}, not {shape}.")
    unknown = sorted(set(stored) - set(wanted))
    if unknown:
        raise CheckpointError(
            f"{model.path.name} has {len(unknown)} tensors that the conversion would lose, such as {unknown[0]}; "
            "convert the original checkpoint."
        )


def _squeezed(shape: Iterable[int]) -> tuple[int, ...]:
    return tuple(side for side in shape if side != 1)


def _digest(tensors: Mapping[str, Any], weights_digest: str | None) -> str:
    """SHA-256 over every tensor's description, and the digest of the weights if the file has one."""
    state = hashlib.sha256((weights_digest or "").encode())
    for name, tensor in sorted(tensors.items()):
        state.update(f"{name} {tensor.shape} {tensor.type.name} {tensor.offset}\n".encode())
    return state.hexdigest()


def _notes(model: ModelFile) -> list[str]:
    """What the user must know about converting from this file."""
    experts = {Type(int(number)) for number in model.experts.type.flat}
    coarse = sorted(type_.name for type_ in experts if types.bits_per_weight(type_) < _FEWEST_BITS)
    notes = []
    if coarse:
        notes.append(
            f"The source stores experts in {', '.join(coarse)}: what that rounding lost is lost in the new file as "
            "well; convert the original checkpoint, or a Q8_0 or BF16 file, for the best answers."
        )
    if not model.verified:
        notes.append("The source has no checksums, so damage in it cannot be noticed.")
    return notes
