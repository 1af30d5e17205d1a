"""`edgemed inspect MODEL`: what is inside a model file, for people and (`--json`) for machines."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections import Counter
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgemed.commands._print import show
from edgemed.errors import UsageError
from edgemed.outputs import check_outputs, claimed, write_text

if TYPE_CHECKING:
    from edgemed.model_file import ModelFile

MAP_COLUMNS = 64
# Terminal colours (of 256) for 0 to 9 bits and 10 or more, from cold to hot. The digits say the same without colour.
HEAT = (17, 18, 19, 25, 31, 37, 71, 143, 179, 209, 203)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", type=Path, help="the GGUF file")
    parser.add_argument("--json", action="store_true", help="print everything as JSON")
    parser.add_argument(
        "--html", metavar="OUT", type=Path, help="write one HTML page that shows the precision of every expert"
    )
    parser.add_argument(
        "--calibration",
        metavar="FILE",
        type=Path,
        help="also show use and sensitivity of every expert, from these statistics",
    )
    parser.add_argument(
        "--card",
        metavar="CARD",
        type=Path,
        help="a report card of `edgemed eval`: check that it belongs to these weights, and show its result",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace OUT if it exists")


def run(args: argparse.Namespace) -> int:
    from edgemed.model_file import open_model
    from edgemed.model_file.parts import named_like

    if args.calibration and not args.html:
        raise UsageError("--calibration is shown on the page that --html writes; give both.")
    check_outputs([args.html], (*named_like(args.model), args.calibration, args.card), overwrite=args.overwrite)
    model = open_model(args.model)
    card = _card(model, args.card) if args.card else None
    if args.html:
        _draw(model, args.html, args.calibration)
    if args.json:
        print(json.dumps(describe(model) | ({"report_card": card} if card else {}), indent=1))
    else:
        colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
        judged = [evaluated(card)] if card else []
        show([*summary(model), *judged, ""])
        print("\n".join(precision_map(model, colour=colour)))
    return 0


def _card(model: ModelFile, path: Path) -> dict[str, Any]:
    from edgemed.evaluation.cards import read_card

    return read_card(path, model)


def evaluated(card: dict[str, Any]) -> str:
    """The card's result as one line."""
    found = card["overall"]
    against = f"against {card['reference']['file']}, {card['date']}, card {card['digest'][:12]}"
    if found is None:
        return f"  evaluated   with questions only, {against}"
    return (
        f"  evaluated   KL divergence {found['kl_mean']:.4f}, same next token {found['top1_agreement']:.1%} of "
        f"{found['tokens']:,.0f}, {against}"
    )


def _draw(model: ModelFile, out: Path, calibration: Path | None) -> None:
    """Write the page. Raises CalibrationError for statistics of another model, SetupError if it cannot be written."""
    from edgemed.quant.calibration import read_calibration
    from edgemed.quant.plan_html import plan_page

    with claimed(out):
        write_text(out, plan_page(model, read_calibration(calibration, model.hparams) if calibration else None))


def describe(model: ModelFile) -> dict[str, Any]:
    """The model as JSON. `experts.types` counts matrices, three per expert."""
    from gguf import GGMLQuantizationType

    from edgemed.model_file import keys
    from edgemed.quant.heat_map import expert_bits

    parameters = sum(prod(tensor.shape) for tensor in model.tensors.values())
    weight_bytes = sum(tensor.nbytes for tensor in model.tensors.values())
    types = Counter(GGMLQuantizationType(int(number)).name for number in model.experts.type.flat)
    metadata = model.metadata
    return {
        "path": str(model.path),
        "parts": [{"path": str(part.path), "size_bytes": part.size} for part in model.parts],
        "name": model.name,
        "architecture": model.architecture,
        "layout": model.layout,
        "parameters": parameters,
        "bits_per_weight": 8 * weight_bytes / parameters,
        "size_bytes": model.size_bytes,
        "layers": model.hparams.n_layer,
        "mtp_layers": model.hparams.n_nextn,
        "context_length": model.hparams.n_ctx_train,
        "experts": {
            "layers": len(model.experts.layers),
            "per_layer": model.experts.per_layer,
            "used": model.hparams.n_expert_used,
            "bits_per_weight": float(expert_bits(model).mean()),
            "types": dict(types.most_common()),
        },
        "dense": {
            "size_bytes": sum(tensor.nbytes for tensor in model.dense),
            "types": dict(Counter(tensor.type.name for tensor in model.dense).most_common()),
        },
        "source": {
            "repository": metadata.get(keys.SOURCE_REPOSITORY),
            "revision": metadata.get(keys.SOURCE_REVISION),
            "digest": metadata.get(keys.SOURCE_DIGEST),
            "gguf": metadata.get(keys.SOURCE_GGUF),
        },
        "plan_digest": metadata.get(keys.PLAN_DIGEST),
        "calibration_digest": metadata.get(keys.CALIBRATION_DIGEST),
        "weights_digest": model.weights_digest,
        "intended_use": model.intended_use,
        "verified": model.verified,
    }


def summary(model: ModelFile) -> list[str]:
    """Lines for people: name, size, layers, experts, source."""
    from edgemed.quant.heat_map import layers_by_experts
    from edgemed.sizes import format_size

    known = describe(model)
    experts, source = known["experts"], known["source"]
    known_origin = (source["repository"], source["revision"], source["gguf"] and f"via {source['gguf']}")
    origin = " ".join(filter(None, known_origin)) or "not recorded"
    digest = f" (digest {source['digest'][:12]})" if source["digest"] else ""
    plan = f", plan {known['plan_digest'][:12]}" if known["plan_digest"] else ""
    mtp = f" and {known['mtp_layers']} MTP" if known["mtp_layers"] else ""
    split = f", in {len(model.parts)} parts" if len(model.parts) > 1 else ""
    checked = "every tensor has a checksum" if known["verified"] else "UNVERIFIED: no checksums"
    return [
        f"{known['name']} ({known['architecture']}, {known['layout']} layout)",
        f"  size        {format_size(known['size_bytes'])}, {known['parameters']:,} parameters, "
        f"{known['bits_per_weight']:.2f} bits per weight{split}",
        f"  layers      {known['layers']}{mtp}, context {known['context_length']:,} tokens",
        f"  experts     {layers_by_experts(model)}, {experts['used']} used, "
        f"{experts['bits_per_weight']:.2f} bits per weight: {_counts(experts['types'])}",
        f"  dense       {format_size(known['dense']['size_bytes'])}: {_counts(known['dense']['types'])}",
        f"  source      {origin}{digest}{plan}",
        f"  weights     {(known['weights_digest'] or 'no digest')[:12]}, {checked}",
        f"  use         {known['intended_use']}",
    ]


def precision_map(model: ModelFile, *, colour: bool = False) -> list[str]:
    """A line per layer: mean bits of gate, up and down, then one digit per expert or group of experts."""
    from edgemed.quant.heat_map import MTP, expert_bits

    bits = expert_bits(model)
    each = -(-bits.shape[1] // MAP_COLUMNS)
    lines = [
        f"Bits per weight, by layer. One digit per {'expert' if each == 1 else f'{each} experts'} (mean of gate, up "
        "and down, rounded down; +: 10 or more)",
        "layer   gate     up   down  experts",
    ]
    for layer, row in zip(model.experts.layers, bits, strict=True):
        gate, up, down = row.mean(axis=0)
        cells = (_cell(float(row[first : first + each].mean()), colour) for first in range(0, len(row), each))
        unused = f"  ({MTP})" if layer >= model.hparams.n_layer else ""
        lines.append(f"{layer:5}  {gate:5.2f}  {up:5.2f}  {down:5.2f}  {''.join(cells)}{unused}")
    return lines


def _cell(bits: float, colour: bool) -> str:
    digit = str(int(bits)) if bits < 10 else "+"
    return f"\033[38;5;{HEAT[min(int(bits), 10)]}m{digit}\033[0m" if colour else digit


def _counts(types: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in types.items())
