"""The plan: the type of every tensor of the model, as JSON that a person can read, edit and use again.

    {
     "edgemed_plan": 1,
     "dense": {"default": "Q8_0", "output": "Q6_K", "blk.3.attn_qkv": "F16"},
     "experts": {
      "default": {"gate": "Q3_K", "up": "Q3_K", "down": "Q4_K"},
      "layers": {
       "1": {"gate": {"default": "Q2_K", "Q4_K": "0-3,17", "Q5_K": "5"}, "down": "Q6_K"}
      }
     }
    }

In layer 1, gate is Q4_K in experts 0 to 3 and 17, Q5_K in expert 5 and Q2_K in the others; down is Q6_K in all experts.
Up, and all other layers, have the default (a default of one type is for gate, up and down). Dense tensors are named by
kind (`attn_qkv`, in every layer) or in full (`blk.3.attn_qkv`), without `.weight`. Vectors, routers and their biases
are always F32. Dense matrices may not be smaller than Q6_K, since every token uses them.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gguf import GGMLQuantizationType as Type

from edgemed.architectures import HParams
from edgemed.architectures.tensors import ALWAYS_F32, kind_of
from edgemed.errors import PlanError
from edgemed.quant import types
from edgemed.quant.plan_text import (
    PROJECTIONS,
    read_number,
    read_object,
    read_projection,
    read_ranges,
    read_type,
    unique_object,
    write_ranges,
)
from edgemed.sizes import file_size

VERSION = 1
MAX_PLAN_BYTES = 32 << 20

Triple = tuple[Type, Type, Type]  # gate, up, down


@dataclass(frozen=True)
class Plan:
    """A type for every tensor: defaults, and exceptions to them. The most specific exception applies.

    Made by `load`, `parse`, `uniform` or `of_types`. Raises PlanError for a dense type that is not allowed.
    """

    default: Triple
    layers: Mapping[tuple[int, int], Type] = field(default_factory=dict)  # (layer, projection)
    experts: Mapping[tuple[int, int, int], Type] = field(default_factory=dict)  # (layer, expert, projection)
    dense_default: Type = Type.Q8_0
    dense: Mapping[str, Type] = field(default_factory=dict)  # kind or full name

    def __post_init__(self) -> None:
        for name, chosen in {"default": self.dense_default, **self.dense}.items():
            if chosen not in types.DENSE_FLOOR:
                raise PlanError(
                    f'The plan stores dense "{name}" as {chosen.name}; dense tensors may use '
                    f"{', '.join(t.name for t in types.DENSE_FLOOR)}."
                )

    @classmethod
    def load(cls, path: Path) -> Plan:
        """The plan in a JSON file. Raises PlanError."""
        try:
            if file_size(path) > MAX_PLAN_BYTES:
                raise PlanError(
                    f"The plan {path} is larger than {MAX_PLAN_BYTES >> 20} MiB, too much for a plan; name another."
                )
            text = path.read_text("utf-8")
        except OSError as error:
            raise PlanError(f"The plan {path} cannot be read: {error.strerror}.") from None
        except UnicodeDecodeError:
            raise PlanError(f"The plan {path} cannot be read: it is not UTF-8 text.") from None
        return cls.parse(text)

    @classmethod
    def parse(cls, text: str) -> Plan:
        """The plan in a JSON text. Raises PlanError."""
        try:
            document = json.loads(text, object_pairs_hook=unique_object)
        except (ValueError, RecursionError) as error:
            raise PlanError(f"The plan is not valid JSON: {error}.") from error
        read_object(document, "plan", ("edgemed_plan", "dense", "experts"))
        if document.get("edgemed_plan") != VERSION:
            raise PlanError(f'The plan must say "edgemed_plan": {VERSION}; add that and try again.')
        value = read_object(document.get("experts"), "experts", ("default", "layers"))
        layers: dict[tuple[int, int], Type] = {}
        experts: dict[tuple[int, int, int], Type] = {}
        for number, projections in read_object(value.get("layers", {}), "layers").items():
            layer = read_number(number, "the layer")
            for name, members in read_object(projections, f"layer {layer}").items():
                _read_members(layer, read_projection(name), members, layers, experts)
        dense = {
            name.removesuffix(".weight"): read_type(chosen)
            for name, chosen in read_object(document.get("dense", {}), "dense").items()
        }
        dense_default = dense.pop("default", Type.Q8_0)
        return cls(_read_default(value.get("default")), layers, experts, dense_default, dense)

    @classmethod
    def uniform(cls, bits: float | Type, palette: str = "fast") -> Plan:
        """One type for all experts: the given one, or the palette's nearest to `bits` per weight.

        F32, F16 and BF16 apply to the dense matrices too, for reference files; otherwise these are Q8_0.
        """
        chosen = bits if isinstance(bits, Type) else types.nearest_type(bits, types.palette(palette).plain)
        dense = chosen if chosen in (Type.F32, Type.F16, Type.BF16) else Type.Q8_0
        return cls((chosen, chosen, chosen), dense_default=dense)

    @classmethod
    def of_types(
        cls,
        experts: Mapping[tuple[int, int, int], Type],
        dense: Mapping[str, Type] | None = None,
        dense_default: Type = Type.Q8_0,
    ) -> Plan:
        """A plan from the type of every (layer, expert, projection). The most frequent types become the defaults."""
        members: dict[tuple[int, int], list[Type]] = {}
        for (layer, _, projection), chosen in experts.items():
            members.setdefault((layer, projection), []).append(chosen)
        layers = {key: _most_frequent(chosen) for key, chosen in members.items()}
        default = [_most_frequent(t for (_, _, p), t in experts.items() if p == projection) for projection in range(3)]
        return cls((default[0], default[1], default[2]), layers, experts, dense_default, dense or {})

    def expert_type(self, layer: int, expert: int, projection: int) -> Type:
        """The planned type of an expert's projection (0 gate, 1 up, 2 down). Before `types.storable`."""
        chosen = self.experts.get((layer, expert, projection))
        return chosen if chosen is not None else self._layer_type(layer, projection)

    def dense_type(self, name: str, shape: Sequence[int]) -> Type:
        """The type of a tensor outside the experts: GGUF name, shape in ggml's order (row length first).

        Rows too short for the planned type get the substitute of `types.storable`.
        """
        stem = name.removesuffix(".weight").removesuffix(".bias")
        if len(shape) < 2 or kind_of(stem) in ALWAYS_F32:
            return Type.F32
        return types.storable(self.dense.get(stem, self._dense_kind_type(stem)), shape[0])

    def validate(self, hparams: HParams) -> None:
        """Raise PlanError if the plan names a layer, an expert or a dense tensor that the model does not have."""
        blocks, kinds = hparams.stored_moe_layers, hparams.DENSE_KINDS
        for layer in {key[0] for key in (*self.layers, *self.experts)}:
            if layer not in blocks:
                raise PlanError(
                    f"The plan names experts of layer {layer}, but this model has experts in layers "
                    f"{blocks.start} to {blocks.stop - 1} only."
                )
        for layer, expert, _ in self.experts:
            if not 0 <= expert < hparams.n_expert:
                raise PlanError(
                    f"The plan names expert {expert} of layer {layer}, but this model's experts are "
                    f"0 to {hparams.n_expert - 1}."
                )
        names = {f"blk.{block}.{kind}" for block in range(blocks.stop) for kind in kinds} | set(kinds)
        if unknown := sorted(set(self.dense) - names):
            raise PlanError(
                f'The plan names the dense tensor "{unknown[0][:80]}", which this model does not have; '
                f"kinds are {', '.join(kinds)}."
            )

    @property
    def text(self) -> str:
        """The plan as JSON that `parse` reads: sorted, without entries that have no effect."""
        same = len(set(self.default)) == 1
        names = {name: chosen.name for name, chosen in zip(PROJECTIONS, self.default, strict=True)}
        experts: dict[str, Any] = {"default": names["gate"] if same else names}
        layers: dict[str, dict[str, Any]] = {}
        members = self._exceptions()
        for layer, projection in sorted({*self.layers, *members}):
            entry: dict[str, str] = {}
            chosen = self._layer_type(layer, projection)
            if chosen != self.default[projection]:
                entry["default"] = chosen.name
            entry |= members.get((layer, projection), {})
            if entry:
                value = entry["default"] if list(entry) == ["default"] else entry
                layers.setdefault(str(layer), {})[PROJECTIONS[projection]] = value
        if layers:
            experts["layers"] = layers
        dense = {name: t.name for name, t in sorted(self.dense.items()) if t != self._dense_kind_type(name, below=True)}
        dense = {"default": self.dense_default.name} | dense
        return json.dumps({"edgemed_plan": VERSION, "dense": dense, "experts": experts}, indent=1) + "\n"

    @property
    def digest(self) -> str:
        """SHA-256 of the text, in hexadecimal."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    def _layer_type(self, layer: int, projection: int) -> Type:
        return self.layers.get((layer, projection), self.default[projection])

    def _dense_kind_type(self, stem: str, *, below: bool = False) -> Type:
        """The type of a dense tensor without an entry for it: that of its kind, else the default.

        below: for a kind, the default under it, without the kind's entry.
        """
        kind = kind_of(stem)
        return self.dense_default if below and kind == stem else self.dense.get(kind, self.dense_default)

    def _exceptions(self) -> dict[tuple[int, int], dict[str, str]]:
        """(layer, projection) -> type -> experts, for experts whose type is not their layer's."""
        members: dict[tuple[int, int], dict[str, list[int]]] = {}
        for (layer, expert, projection), chosen in self.experts.items():
            if chosen != self._layer_type(layer, projection):
                members.setdefault((layer, projection), {}).setdefault(chosen.name, []).append(expert)
        return {
            key: {name: write_ranges(experts) for name, experts in sorted(by_type.items())}
            for key, by_type in members.items()
        }


def _most_frequent(chosen: Iterable[Type]) -> Type:
    """The most frequent type; of several, the one with the lowest number, so that the order does not matter."""
    counts = Counter(chosen)
    if not counts:
        raise PlanError("A plan must name a type for gate, up and down.")
    return min(counts, key=lambda type_: (-counts[type_], type_))


def _read_default(value: Any) -> Triple:
    """One type name, or {"gate": ..., "up": ..., "down": ...}."""
    if isinstance(value, str):
        chosen = read_type(value)
        return chosen, chosen, chosen
    names = read_object(value, "default", PROJECTIONS)
    if missing := [name for name in PROJECTIONS if name not in names]:
        raise PlanError(f'The plan\'s default for experts lacks "{missing[0]}"; add its type.')
    return read_type(names["gate"]), read_type(names["up"]), read_type(names["down"])


def _read_members(
    layer: int,
    projection: int,
    members: Any,
    layers: dict[tuple[int, int], Type],
    experts: dict[tuple[int, int, int], Type],
) -> None:
    """Read one projection of a layer into `layers` and `experts`: a type, or {"default": type, type: "0-3,17"}.

    Raises PlanError if an expert gets two types.
    """
    if isinstance(members, str):
        members = {"default": members}
    for name, listed in read_object(members, f"layer {layer}, {PROJECTIONS[projection]}").items():
        if name == "default":
            layers[layer, projection] = read_type(listed)
            continue
        chosen = read_type(name)
        for expert in read_ranges(listed):
            if experts.setdefault((layer, expert, projection), chosen) != chosen:
                raise PlanError(
                    f"The plan names two types for {PROJECTIONS[projection]} of expert {expert} in layer {layer}; "
                    "keep one."
                )
