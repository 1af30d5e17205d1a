"""The page of `edgemed inspect --html`: a model's precision."""

from __future__ import annotations

from collections import Counter

from gguf import GGMLQuantizationType as Type

from edgemed.model_file import ModelFile
from edgemed.quant.heat_map import bits_by, expert_bits, heat_map, layers_by_experts
from edgemed.quant.html import page, table, text, tile
from edgemed.quant.statistics import Statistics
from edgemed.sizes import format_size

GROUPS = 8
DEMONSTRATION = "This is a demonstration model: it invents text at any precision."


def plan_page(model: ModelFile, statistics: Statistics | None = None) -> str:
    """The page as HTML. With `statistics` of this model it shows use and sensitivity beside the bits."""
    bits = expert_bits(model)
    dense = sum(tensor.nbytes for tensor in model.dense)
    body = [
        f"<h1>{text(model.name)}</h1>",
        f'<p class="soft">{text(model.path.name)}: the precision of every expert. Weights '
        f"{text((model.weights_digest or 'without digest')[:16])}, intended use: {text(model.intended_use)}.</p>",
        *([f'<p class="warn">{DEMONSTRATION}</p>'] if model.intended_use == "demonstration" else []),
        '<div class="tiles">',
        tile(format_size(model.size_bytes), "file"),
        tile(f"{bits.mean():.2f}", "bits per weight, experts", f"{bits.min():.2f} to {bits.max():.2f}"),
        tile(layers_by_experts(model), "layers x experts", f"each token uses {model.hparams.n_expert_used}"),
        tile(format_size(dense), "dense part", "read for every token"),
        "</div>",
        "<h2>Bits of every expert</h2>",
        "<p>A row is a layer, a column an expert. The numbers at the left are means of gate, up and down. "
        "Point at an expert to see its types.</p>",
        heat_map(model, statistics),
    ]
    if statistics:
        body += _where_bits_go(model, statistics)
    counted = Counter(Type(int(kind)).name for kind in model.experts.type.flat)
    rows = [f"<tr><td>{name}</td><td>{count:,}</td></tr>" for name, count in counted.most_common()]
    body += ["<h2>Types of expert matrices</h2>", table(("type", "matrices"), rows)]
    return page(f"{model.name}: precision", body)


def _where_bits_go(model: ModelFile, statistics: Statistics) -> list[str]:
    """Mean bits of the least to the most used experts, and of the least to the most sensitive."""
    rows = model.hparams.n_moe_layers
    bits = expert_bits(model)[:rows].mean(axis=2)
    groups = min(GROUPS, bits.shape[1])
    tokens, output = statistics.tokens.sum(axis=0), statistics.output.sum(axis=0)
    known = [("use", tokens), ("sensitivity", output)] if output.any() else [("use", tokens)]
    lines = [
        f"<tr><td>by {name}</td>" + "".join(f"<td>{mean:.2f}</td>" for mean in bits_by(order, bits, groups)) + "</tr>"
        for name, order in known
    ]
    head = ["mean bits", "least", *[""] * (groups - 2), "most"]
    return [
        "<h2>Where the bits go</h2>",
        f"<p>The experts of each layer in {groups} equal groups, from those that matter least to those that matter "
        "most, by calibration.</p>",
        table(head, lines),
    ]
