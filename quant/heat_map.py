"""A picture of the plan: layers by experts, with bits as colours and digits, and use and sensitivity below.

Up to two thin stripes under each expert show its tokens in calibration, and its part in the layer's output (the sum of
s^2 |output|^2 with s the routing weight), by which a relative error of its weights counts. Both are relative to the
largest value in the layer.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from gguf import GGMLQuantizationType as Type

from edgemed.arrays import Doubles
from edgemed.model_file import ModelFile
from edgemed.quant.html import text
from edgemed.quant.statistics import Statistics

WIDTH, NARROWEST, WIDEST = 980, 11, 46
LEFT, TOP, NOTE = 176, 34, 90
MTP = "MTP, not run"
CELL, STRIPE, GAP = 17, 5, 5
FEWEST_BITS, MOST_BITS = 1.5, 8.5
# From dark blue to yellow with evenly rising brightness, which colour-blind readers can tell apart too.
RAMP = ((10, 34, 92), (45, 78, 122), (98, 116, 128), (150, 152, 120), (204, 189, 99), (252, 229, 72))


def heat_map(model: ModelFile, statistics: Statistics | None = None) -> str:
    """An HTML figure with the picture as SVG, and its legend."""
    bits = expert_bits(model)
    use = statistics.tokens.sum(axis=0) if statistics else None
    weight = statistics.output.sum(axis=0) if statistics else None
    if weight is not None and not weight.any():
        weight = None  # an imatrix does not have it
    stripes = [(name, values) for name, values in (("use", use), ("weight", weight)) if values is not None]
    step = min(max(WIDTH / bits.shape[1], NARROWEST), WIDEST)
    height = CELL + STRIPE * len(stripes) + GAP
    parts = [_head(bits.shape[1], step)]
    for moe_layer, layer in enumerate(model.experts.layers):
        top = TOP + moe_layer * height
        means = bits[moe_layer].mean(axis=0)
        seen = stripes if moe_layer < model.hparams.n_moe_layers else []  # calibration does not see MTP layers
        parts.append(f'<text x="4" y="{top + 13}">{layer}</text>')
        if layer >= model.hparams.n_layer:
            parts.append(f'<text class="axis" x="{LEFT + bits.shape[1] * step + 4:.0f}" y="{top + 13}">{MTP}</text>')
        parts += [
            f'<text class="axis" x="{74 + 46 * p}" y="{top + 13}" text-anchor="end">{mean:.2f}</text>'
            for p, mean in enumerate(means)
        ]
        for expert in range(bits.shape[1]):
            parts.append(
                _expert(
                    LEFT + expert * step,
                    top,
                    step,
                    float(bits[moe_layer, expert].mean()),
                    [(name, values[moe_layer, expert] / max(values[moe_layer].max(), 1e-300)) for name, values in seen],
                    _told(model, statistics, moe_layer, expert),
                )
            )
    noted = NOTE if len(bits) > model.hparams.n_moe_layers else 0
    size = LEFT + bits.shape[1] * step + 4 + noted, TOP + len(bits) * height
    drawn = f'<svg width="{size[0]:.0f}" height="{size[1]:.0f}" role="img" aria-label="bits of every expert">'
    return f'<figure><div class="scroll">{drawn}{"".join(parts)}</svg></div>{_legend([n for n, _ in stripes])}</figure>'


def expert_bits(model: ModelFile) -> Doubles:
    """Bits per weight, [MoE layers, experts, 3]."""
    weights = [rows * columns for rows, columns in model.hparams.expert_matrix_shapes]
    bits: Doubles = 8.0 * model.experts.nbytes.astype(np.float64) / weights
    return bits


def layers_by_experts(model: ModelFile) -> str:
    """The MoE layers that are computed, and the MTP layers beside them, by the experts in each: "5 x 16 and 1 x 16"."""
    each, computed = model.experts.per_layer, model.hparams.n_moe_layers
    unused = len(model.experts.layers) - computed
    return f"{computed} x {each}" + (f" and {unused} x {each} ({MTP})" if unused else "")


def bits_by(order: Doubles, bits: Doubles, groups: int = 8) -> list[float]:
    """Mean of `bits` [L, E] over equal groups of experts, ranked within each layer by `order` [L, E], lowest first."""
    ranks = order.argsort(axis=1, kind="stable").argsort(axis=1)
    group = ranks * groups // order.shape[1]
    return [float(bits[group == number].mean()) for number in range(groups)]


def colour(bits: float) -> tuple[int, int, int]:
    """The colour of RAMP for this many bits."""
    at = np.interp(bits, (FEWEST_BITS, MOST_BITS), (0, len(RAMP) - 1))
    channels = [np.interp(at, range(len(RAMP)), [stop[channel] for stop in RAMP]) for channel in range(3)]
    return round(channels[0]), round(channels[1]), round(channels[2])


def _head(experts: int, step: float) -> str:
    names = (("layer", 4, "start"), ("gate", 74, "end"), ("up", 120, "end"), ("down", 166, "end"))
    every = 1 if step >= 22 else 8
    labels = [
        f'<text class="axis" x="{x}" y="{TOP - 8}" text-anchor="{anchor}">{name}</text>' for name, x, anchor in names
    ]
    labels += [
        f'<text class="axis" x="{LEFT + (expert + 0.5) * step:.1f}" y="{TOP - 8}" text-anchor="middle">{expert}</text>'
        for expert in range(0, experts, every)
    ]
    return "".join(labels)


def _expert(x: float, y: float, step: float, bits: float, stripes: Sequence[tuple[str, float]], told: str) -> str:
    red, green, blue = colour(bits)
    ink = "#111" if 0.3 * red + 0.59 * green + 0.11 * blue > 120 else "#fff"
    shown = f"{bits:.1f}" if step >= 22 else str(int(bits)) if bits < 10 else "+"
    width = step - 1
    middle, base = f"{x + width / 2:.1f}", f"{y + 12.5}"
    parts = [
        f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="{CELL}" fill="rgb({red},{green},{blue})"/>',
        f'<text class="cell" style="fill:{ink}" x="{middle}" y="{base}" text-anchor="middle">{shown}</text>',
    ]
    for place, (name, share) in enumerate(stripes):
        top = y + CELL + place * STRIPE
        parts.append(
            f'<rect class="{name}" x="{x:.1f}" y="{top}" width="{width:.1f}" height="{STRIPE - 1}" '
            f'fill-opacity="{max(share, 0.04):.2f}"/>'
        )
    return f"<g><title>{told}</title>{''.join(parts)}</g>"


def _told(model: ModelFile, statistics: Statistics | None, moe_layer: int, expert: int) -> str:
    """The tooltip of an expert."""
    types = [Type(int(number)).name for number in model.experts.type[moe_layer, expert]]
    said = f"layer {model.experts.layers[moe_layer]}, expert {expert}: gate {types[0]}, up {types[1]}, down {types[2]}"
    if statistics and moe_layer < model.hparams.n_moe_layers:
        tokens, output = statistics.tokens[:, moe_layer].sum(axis=0), statistics.output[:, moe_layer].sum(axis=0)
        said += f"; {tokens[expert]:,.0f} tokens ({tokens[expert] / max(tokens.sum(), 1):.1%})"
        if output.any():
            said += f", {output[expert] / output.sum():.1%} of the layer's output"
    return text(said)


def _legend(stripes: Sequence[str]) -> str:
    steps = (2, 3, 4, 5, 6, 8)
    cells = []
    for place, bits in enumerate(steps):
        red, green, blue = colour(bits)
        cells.append(f'<rect x="{place * 40}" y="0" width="40" height="12" fill="rgb({red},{green},{blue})"/>')
        cells.append(f'<text class="axis" x="{place * 40 + 20}" y="26" text-anchor="middle">{bits}</text>')
    x = 40 * len(steps)
    cells.append(f'<text class="axis" x="{x + 8}" y="11">bits per weight (mean of gate, up and down)</text>')
    names = {"use": "use: tokens routed to it", "weight": "sensitivity: its part in the layer's output"}
    for place, name in enumerate(stripes):
        at = x + 290 + 190 * place
        cells.append(f'<rect class="{name}" x="{at}" y="2" width="22" height="{STRIPE + 2}"/>')
        cells.append(f'<text class="axis" x="{at + 28}" y="11">{names[name]}</text>')
    return f'<figcaption><svg width="980" height="32">{"".join(cells)}</svg></figcaption>'
