"""The report card as one self-contained HTML page with explanations."""

from __future__ import annotations

from typing import Any

from edgemed.model_file import ModelFile
from edgemed.quant.heat_map import heat_map
from edgemed.quant.html import number, page, table, text, tile
from edgemed.sizes import format_size

BAR, ROW = 220, 18
PALEST, HOTTEST = 0.05, 2.0  # nats at which a token's colour begins, and at which it is darkest
DEMONSTRATION = (
    "This is a demonstration model: it invents text at any precision. The figures only show how evaluation works."
)


def report_page(card: dict[str, Any], model: ModelFile) -> str:
    """The page for `model` and its card (report.py)."""
    name = card["model"]["name"]
    body = [
        f"<h1>{text(name)}: report card</h1>",
        f'<p class="soft">{_named(card["model"])} compared with {_named(card["reference"])}, {text(card["date"])}.</p>',
    ]
    if card["model"]["intended_use"] == "demonstration":
        body.append(f'<p class="warn">{DEMONSTRATION}</p>')
    if card["overall"]:
        body += [*_headline(card), *_damage(card), *_histogram(card["histogram"])]
    if card["multiple_choice"]:
        body += _multiple_choice(card)
    if card["worst_passages"]:
        body += _worst(card["worst_passages"])
    body += ["<h2>Precision of every expert</h2>", heat_map(model), *_provenance(card)]
    return page(f"{name}: report card", body)


def _named(file: dict[str, Any]) -> str:
    return f"{text(file['file'])} ({file['bits_per_weight']:.2f} bits per weight)"


def _headline(card: dict[str, Any]) -> list[str]:
    overall, dose = card["overall"], card["dose_tokens"]
    tiles = [
        tile(
            f"{overall['top1_agreement']:.1%}",
            "same next word as the reference",
            _between(overall, "top1_agreement", "{:.1%}"),
        ),
        tile(number(overall["kl_mean"]), "mean KL divergence, nats", _between(overall, "kl_mean")),
        tile(number(overall["kl_p99"]), "99th percentile of KL divergence", _between(overall, "kl_p99")),
        tile(
            f"{overall['perplexity_ratio']:.3f}",
            "perplexity, times the reference's",
            _between(overall, "perplexity_ratio"),
        ),
    ]
    if dose:
        tiles.append(
            tile(
                f"{dose['top1_agreement']:.1%}",
                "same next word on tokens that carry a dose",
                _between(dose, "top1_agreement", "{:.1%}"),
            )
        )
    return [
        f'<div class="tiles">{"".join(tiles)}</div>',
        "<p>A quantised model stores its weights in fewer bits, so its words can differ from the original's. Both "
        f"models read the same {overall['tokens']:,} tokens of text, and their probabilities for the next word were "
        "compared at each one. <b>KL divergence</b> is 0 where they are equal. At 0.01 the difference is hardly "
        "noticeable; at 1 another word is often the likeliest. This measures only the loss from quantisation: <b>it "
        "does not say how good the original is.</b></p>",
    ]


def _between(found: dict[str, Any], name: str, form: str = "") -> str:
    interval = found[f"{name}_interval"]
    if not interval:
        return "too few passages for an interval"
    low, high = (form.format(end) if form else number(end) for end in interval)
    return f"{low} to {high}"


def _damage(card: dict[str, Any]) -> list[str]:
    """A table of bars with whiskers, group by group."""
    languages = {"en": "English", "zh": "Chinese"}
    groups = {
        "": {"all tokens": card["overall"]},
        "tokens that carry a dose: digits, units, negations, drug names": {"all": card["dose_tokens"]}
        | {languages.get(key, key): found for key, found in card["dose_tokens_by_language"].items()},
        "by language": {languages.get(key, key): found for key, found in card["languages"].items()},
        "by domain, most damaged first": dict(sorted(card["domains"].items(), key=lambda item: -item[1]["kl_mean"])),
    }
    shown = [found for group in groups.values() for found in group.values() if found]
    longest = max(max(found["kl_mean"], (found["kl_mean_interval"] or (0, 0))[1]) for found in shown) or 1.0
    rows = []
    for title, group in groups.items():
        if title and any(group.values()):
            rows.append(f'<tr class="group"><td colspan="9">{text(title)}</td></tr>')
        rows += [_damage_row(name, found, longest) for name, found in group.items() if found]
    head = (
        "",
        "tokens",
        "mean KL divergence, 95 % interval",
        "",
        "median",
        "99th percentile",
        "same next word",
        "perplexity x",
        "reference's",
    )
    return ["<h2>Damage by domain</h2>", table(head, rows), *_unknown_to_reference(card)]


def _unknown_to_reference(card: dict[str, Any]) -> list[str]:
    """A warning that names the domains on which the reference does worse than chance."""
    chance = card["method"]["vocabulary"]  # perplexity of a uniform distribution over the vocabulary
    names = [name for name, found in card["domains"].items() if found["reference_perplexity"] > chance]
    if not names:
        return []
    return [
        f'<p class="warn">On {text(", ".join(names))} the reference itself does worse than chance among its '
        f"{chance:,} tokens: it was not trained on such text, so the damage there says little.</p>"
    ]


def _damage_row(name: str, found: dict[str, Any], longest: float) -> str:
    scale = (BAR - 8) / longest
    parts = [
        f'<rect class="bar" x="0" y="4" width="{max(found["kl_mean"] * scale, 1):.1f}" height="{ROW - 8}" rx="2"/>'
    ]
    if interval := found["kl_mean_interval"]:
        low, high = (end * scale for end in interval)
        middle = ROW / 2
        parts.append(
            f'<path class="whisker" fill="none" d="M{low:.1f} {middle}H{high:.1f}M{low:.1f} {middle - 4}v8'
            f'M{high:.1f} {middle - 4}v8"/>'
        )
    bar = f'<svg width="{BAR}" height="{ROW}">{"".join(parts)}</svg>'
    return (
        f"<tr><td>{text(name)}</td><td>{found['tokens']:,}</td><td>{bar}</td><td>{number(found['kl_mean'])}</td>"
        f"<td>{number(found['kl_median'])}</td><td>{number(found['kl_p99'])}</td><td>{found['top1_agreement']:.1%}</td>"
        f"<td>{found['perplexity_ratio']:.3f}</td><td>{number(found['reference_perplexity'])}</td></tr>"
    )


def _histogram(found: dict[str, Any]) -> list[str]:
    """The distribution of divergence over tokens, on a logarithmic axis."""
    used = [place for place, count in enumerate(found["tokens"]) if count]
    counts, edges = (found[name][used[0] : used[-1] + more] for name, more in (("tokens", 1), ("edges", 2)))
    width, height, left = 22, 130, 40
    most, total = max(counts), sum(counts)
    parts = []
    for place, count in enumerate(counts):
        size = height * count / most
        parts.append(
            f'<rect class="bar" x="{left + place * width}" y="{height - size + 8:.1f}" width="{width - 2}" '
            f'height="{size:.1f}"><title>{count / total:.2%} of the tokens</title></rect>'
        )
    for place, edge in enumerate(edges):
        if abs(edge - round(edge)) < 1e-9:
            x = left + place * width
            parts.append(
                f'<text class="axis" x="{x}" y="{height + 26}" text-anchor="middle">{10.0 ** round(edge):g}</text>'
            )
    parts.append(f'<text class="axis" x="0" y="16">{most / total:.0%}</text>')
    size = f'width="{left + len(counts) * width + 30}" height="{height + 34}"'
    return [
        "<h2>Distribution of damage over tokens</h2>",
        f'<figure><div class="scroll"><svg {size} role="img" aria-label="histogram">{"".join(parts)}</svg></div>'
        "<figcaption>Share of tokens by KL divergence in nats, four bars per factor of ten. "
        "Readers notice the right tail.</figcaption></figure>",
    ]


def _multiple_choice(card: dict[str, Any]) -> list[str]:
    rows = []
    for name, found in card["multiple_choice"].items():
        low, high = found["flip_rate_interval"]
        says = (
            "The reference does no better than chance here, so flips mean nothing."
            if found["at_chance"]
            else f"{found['right_to_wrong']} right answers became wrong, {found['wrong_to_right']} wrong ones right."
        )
        ends = " to ".join(f"{end:.0%}" for end in found["reference_accuracy_interval"])
        rows.append(
            f"<tr><td>{text(name)}</td><td>{found['questions']:,}</td><td>{found['chance']:.0%}</td>"
            f"<td>{found['reference_accuracy']:.1%} ({ends})</td><td>{found['model_accuracy']:.1%}</td>"
            f"<td>{found['flips']} ({low:.0%} to {high:.0%})</td><td class='wrap'>{says}</td></tr>"
        )
    head = ("", "questions", "by chance", "reference right", "model right", "answers flipped", "what this means")
    left_out = card["questions_too_long"]
    note = (
        [(f"<p class='soft'>{left_out} questions were left out because they are longer than a passage.</p>")]
        if left_out
        else []
    )
    return ["<h2>Multiple choice</h2>", table(head, rows), *note]


def _worst(passages: list[dict[str, Any]]) -> list[str]:
    parts = [
        "<h2>Most damaged passages</h2>",
        "<p>A darker colour means that the two models differed more on that token.</p>",
    ]
    for place, passage in enumerate(passages):
        tokens = "".join(_token(piece, value) for piece, value in passage["pieces"])
        parts.append(
            f"<details{' open' if place == 0 else ''}><summary>{text(passage['domain'])}: "
            f"mean {number(passage['kl_mean'])}, largest {number(passage['kl_max'])} nats, {passage['tokens']} tokens "
            f'<span class="soft">({text(passage["name"])})</span></summary>'
            f'<div class="passage">{tokens}</div></details>'
        )
    return parts


def _token(piece: str, divergence: float) -> str:
    if divergence < PALEST:
        return text(piece)
    depth = 0.75 * min(divergence / HOTTEST, 1)
    return f'<i style="background:rgb(var(--hot) / {depth:.2f})" title="{divergence:.3f}">{text(piece)}</i>'


def _provenance(card: dict[str, Any]) -> list[str]:
    def shown(name: str, value: Any) -> str:
        if name == "size_bytes":
            return format_size(value)
        if name.endswith("digest") and value is not None:
            return str(value)[:16]
        return f"{value:.3f}" if isinstance(value, float) else "not recorded" if value is None else str(value)

    rows = [
        f"<tr><td>{text(name.replace('_', ' '))}</td>"
        + "".join(
            f'<td class="mono left">{text(shown(name, card[side][name]))}</td>' for side in ("model", "reference")
        )
        + "</tr>"
        for name in card["model"]
    ]
    method = card["method"]
    return [
        "<h2>Method</h2>",
        table(("", "model", "reference"), rows),
        f"<p>{text(method['text'])}</p>",
        f'<p class="soft">Texts: {text(", ".join(method["data"]))}; passages of up to {method["passage_tokens"]} '
        f"tokens. Made by edgemed {text(card['edgemed_version'])}. Research software, not a medical device.</p>",
    ]
