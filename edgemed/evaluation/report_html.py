"""The report card as one HTML page that explains itself."""

from __future__ import annotations

from typing import Any

from edgemed.model_file import ModelFile
from edgemed.quant.heat_map import heat_map
from edgemed.quant.html import number, page, table, text, tile
from edgemed.sizes import format_size

BAR, ROW = 220, 18
PALEST, HOTTEST = 0.05, 2.0  # nats from which a token is coloured, and at which fully
DEMONSTRATION = (
    "This is a demonstration model: it invents text, whatever its precision. The figures show how the machinery works."
)


def report_page(card: dict[str, Any], model: ModelFile) -> str:
    """The page for a card of report.py and the model it is about."""
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
    return f"{text(file['file'])} ({file['bits_per_weight']:.2f} bits a weight)"


def _headline(card: dict[str, Any]) -> list[str]:
    overall, dose = card["overall"], card["dose_tokens"]
    tiles = [
        tile(
            f"{overall['top1_agreement']:.1%}",
            "same next word as the reference",
            _between(overall, "top1_agreement", "{:.1%}"),
        ),
        tile(number(overall["kl_mean"]), "mean KL divergence, nats", _between(overall, "kl_mean")),
        tile(number(overall["kl_p99"]), "99th percentile of it", _between(overall, "kl_p99")),
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
                "same next word where it carries a dose",
                _between(dose, "top1_agreement", "{:.1%}"),
            )
        )
    return [
        f'<div class="tiles">{"".join(tiles)}</div>',
        "<p>A quantised model keeps its weights in fewer bits, so its words can differ from the original's. Here both "
        f"read the same {overall['tokens']:,} tokens of text, and at each one their probabilities for the next word "
        "were compared. <b>KL divergence</b> is 0 where they are the same; at 0.01 the difference can hardly be seen, "
        "at 1 another word is often likelier. This measures the loss by quantisation alone: <b>how good the "
        "original is, it does not tell.</b></p>",
    ]


def _between(found: dict[str, Any], name: str, form: str = "") -> str:
    interval = found[f"{name}_interval"]
    if not interval:
        return "too few passages for an interval"
    low, high = (form.format(end) if form else number(end) for end in interval)
    return f"{low} to {high}"


def _damage(card: dict[str, Any]) -> list[str]:
    """Bars with whiskers, group by group."""
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
    """Say where the reference itself knows nothing."""
    guess = card["method"]["vocabulary"]
    names = [name for name, found in card["domains"].items() if found["reference_perplexity"] > guess]
    if not names:
        return []
    return [
        f'<p class="warn">On {text(", ".join(names))} the reference itself does worse than guessing among all its '
        f"{guess:,} tokens: it was not made for such text, and the damage there says little.</p>"
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
    """How many tokens suffer how much, on a logarithmic axis."""
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
        "<h2>How many tokens suffer how much</h2>",
        f'<figure><div class="scroll"><svg {size} role="img" aria-label="histogram">{"".join(parts)}</svg></div>'
        "<figcaption>Share of tokens by KL divergence in nats, four bars for each factor of ten. "
        "The right tail is what readers notice.</figcaption></figure>",
    ]


def _multiple_choice(card: dict[str, Any]) -> list[str]:
    rows = []
    for name, found in card["multiple_choice"].items():
        low, high = found["flip_rate_interval"]
        says = (
            "The reference cannot be told from guessing here, so flips mean nothing."
            if found["at_chance"]
            else f"{found['right_to_wrong']} right answers became wrong, {found['wrong_to_right']} wrong ones right."
        )
        ends = " to ".join(f"{end:.0%}" for end in found["reference_accuracy_interval"])
        rows.append(
            f"<tr><td>{text(name)}</td><td>{found['questions']:,}</td><td>{found['chance']:.0%}</td>"
            f"<td>{found['reference_accuracy']:.1%} ({ends})</td><td>{found['model_accuracy']:.1%}</td>"
            f"<td>{found['flips']} ({low:.0%} to {high:.0%})</td><td class='wrap'>{says}</td></tr>"
        )
    head = ("", "questions", "by chance", "reference right", "model right", "answers flipped", "what that says")
    left_out = card["questions_too_long"]
    note = [f"<p class='soft'>{left_out} questions were longer than a passage and left out.</p>"] if left_out else []
    return ["<h2>Multiple choice</h2>", table(head, rows), *note]


def _worst(passages: list[dict[str, Any]]) -> list[str]:
    parts = [
        "<h2>Passages that suffered most</h2>",
        "<p>The deeper the colour, the further the two models were apart on that token.</p>",
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
        "<h2>What was compared, and how</h2>",
        table(("", "model", "reference"), rows),
        f"<p>{text(method['text'])}</p>",
        f'<p class="soft">Texts: {text(", ".join(method["data"]))}; passages of up to {method["passage_tokens"]} '
        f"tokens. Made by edgemed {text(card['edgemed_version'])}. Research software, not a medical device.</p>",
    ]
