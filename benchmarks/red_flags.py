"""Counts what the red flags find in texts written by us: `python -m benchmarks.red_flags [--second] [--ids]`.

The texts (`tests/data/clinical`) were written apart from the rules, and their hash was committed before the first rule.
A positive text counts as found if a flag of its own condition is raised; `any` counts every flag. A near miss or an
ordinary real question should raise none. Prints counts with 95 % Wilson intervals, the worst conditions, and with
`--ids` the rows that were judged wrongly. Real questions are read from `--data`, and left out if it is not there.

The second set meets the rules once, after they are final.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import quantiles
from typing import Any

from benchmarks.real_questions import read_questions
from benchmarks.wrong_patient import wilson
from edgemed.clinical.case import CaseHeader
from edgemed.clinical.flags import heard, phrases, rules, values
from edgemed.clinical.flags.flag import Flag, Text

TEXTS = Path(__file__).parents[1] / "tests" / "data" / "clinical"
LANGUAGES = ("en", "zh")
OF_VALUES = {
    "K": {"hyperkalaemia"},
    "GLU": {"severe_hypoglycaemia", "hypoglycaemia", "dka"},
    "KET": {"dka"},
    "LI": {"lithium_toxicity"},
    "DIG": {"digoxin_toxicity"},
    "LAC": {"sepsis"},
    "TROP": {"acs"},
    "NEUT": {"neutropenic_fever"},
    "COHB": {"carbon_monoxide"},
}
"""The conditions that a value rule speaks of, by the beginning of its id."""


def flagged(text: str) -> list[Flag]:
    """Every flag of a text that is asked in an empty case."""
    texts = [Text(text)]
    return [*phrases.found(texts), *values.found(texts, CaseHeader())]


def conditions() -> dict[str, str]:
    """Rule id -> condition, of the phrase rules."""
    return {rule.id: rule.condition for file in heard.rule_files() for rule in file.rules}


def speaks_of(flag: Flag, condition: str, known: dict[str, str]) -> bool:
    """Whether a flag is one of this condition."""
    return known.get(flag.rule) == condition or condition in OF_VALUES.get(flag.rule.partition("-")[0], ())


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines() if line.strip()]


def counted(name: str, hits: int, of: int) -> None:
    low, high = wilson(hits, of)
    print(
        f"{name:34} {hits:4} of {of:4}  {100 * hits / of:5.1f} %  (95 % interval {100 * low:.1f} to {100 * high:.1f} %)"
    )


def positives(folder: Path, language: str) -> tuple[list[str], Counter[str], Counter[str]]:
    """The ids that were missed, and for each condition the texts found and the texts with any flag."""
    known, missed, own, some = conditions(), [], Counter[str](), Counter[str]()
    for row in rows(folder / f"positives.{language}.jsonl"):
        flags, condition = flagged(row["text"]), row["condition"]
        some[condition] += bool(flags)
        if any(speaks_of(flag, condition, known) for flag in flags):
            own[condition] += 1
        else:
            own[condition] += 0
            missed.append(f"{row['id']}:{','.join(flag.rule for flag in flags)}")
    return missed, own, some


def negatives(texts: Iterable[tuple[str, str, str]]) -> tuple[dict[str, list[int]], list[str]]:
    """(flagged, all) of each kind, and the ids that raised a flag, from (kind, id, text)."""
    kinds: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    wrong = []
    for kind, name, text in texts:
        flags = flagged(text)
        kinds[kind][0] += bool(flags)
        kinds[kind][1] += 1
        wrong += [f"{name}:{','.join(flag.rule for flag in flags)}"] if flags else []
    return kinds, wrong


def speed(folder: Path) -> None:
    """The processor time of the rules on single texts, and on 4,000 tokens made of them."""
    texts = [row["text"] for language in LANGUAGES for row in rows(folder / f"near_misses.{language}.jsonl")]
    long = "\n".join(texts)
    for name, tried in (
        ("one text", texts),
        ("about 4,000 tokens", [long[at : at + 12_000] for at in range(0, 60_000, 6000)]),
    ):
        taken = []
        for text in tried:
            began = time.process_time()
            flagged(text)
            taken.append(1000 * (time.process_time() - began))
        print(f"{name}: 95th percentile {quantiles(taken, n=20)[-1]:.1f} ms, longest {max(taken):.1f} ms")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--second", action="store_true", help="count the second set instead")
    parser.add_argument("--ids", action="store_true", help="name the rows that were judged wrongly")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder of the real questions")
    args = parser.parse_args(arguments)
    folder = TEXTS / "second" if args.second else TEXTS
    print(f"rules {rules.rules_version()}; texts written by us{', second set' if args.second else ''}")
    all_own, all_some = Counter[str](), Counter[str]()
    each = 3 if args.second else 10
    for language in LANGUAGES:
        missed, own, some = positives(folder, language)
        counted(f"{language} positives, own condition", own.total(), each * len(own))
        counted(f"{language} positives, any flag", some.total(), each * len(own))
        all_own, all_some = all_own + own, all_some + some
        worst = sorted(own.items(), key=lambda item: item[1])
        print("   worst:", ", ".join(f"{name} {hits}/{each}" for name, hits in worst[:12] if hits < each))
        if args.ids:
            print("   missed:", *missed)
    of = 2 * each * len(json.loads((TEXTS / "conditions.json").read_text("utf-8")))
    counted("both, own condition", all_own.total(), of)
    counted("both, any flag", all_some.total(), of)
    for language in LANGUAGES:
        near = ((row["kind"], row["id"], row["text"]) for row in rows(folder / f"near_misses.{language}.jsonl"))
        sets = {"near misses": near}
        if args.data.is_dir() and not args.second:
            questions = read_questions(args.data, language)
            sets["real questions"] = ((file, f"{file}/{name}", text) for file, name, text in questions)
        for name, texts in sets.items():
            kinds, wrong = negatives(texts)
            counted(f"{language} {name}, flagged", *(sum(pair[at] for pair in kinds.values()) for at in (0, 1)))
            print("   ", ", ".join(f"{kind} {hits}/{of}" for kind, (hits, of) in sorted(kinds.items()) if hits))
            if args.ids:
                print("   flagged:", *wrong)
    speed(TEXTS)


if __name__ == "__main__":
    main()
