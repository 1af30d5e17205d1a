"""Counts how often the wrong-patient guard asks: `python -m benchmarks.wrong_patient [FILE]`.

The texts (`tests/data/clinical/patients.jsonl`) were written by us, no clinicians, apart from the rules, and are not
edited. Each has the header of a case and a text that is pasted into it; of half of them the text is about another
patient. Prints the counts for each language, the 95 % Wilson intervals, and the ids of the texts that were judged
wrongly.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgemed.clinical.case import CLINICAL, IDENTITY, CaseHeader
from edgemed.clinical.wrong_patient import mismatches

TEXTS = Path(__file__).parents[1] / "tests" / "data" / "clinical" / "patients.jsonl"
_Z = 1.96
_FIELDS = {"name": "initials", "dob": "born", "birth_date": "born", "mrn": "number", "id": "number"}


def header_of(values: dict[str, Any]) -> CaseHeader:
    """The header of a row. Raises ValueError for a field that the case header does not have."""
    told = {_FIELDS.get(name, name): str(value) for name, value in values.items()}
    if unknown := told.keys() - {*CLINICAL, *IDENTITY}:
        raise ValueError(f"the case header has no {', '.join(sorted(unknown))}")
    return CaseHeader.of(told)


def wilson(hits: int, of: int) -> tuple[float, float]:
    """The 95 % Wilson interval of a proportion."""
    share, z = hits / of, _Z**2 / of
    half = _Z * ((share * (1 - share) + z / 4) / of) ** 0.5
    return (share + z / 2 - half) / (1 + z), (share + z / 2 + half) / (1 + z)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("file", nargs="?", type=Path, default=TEXTS)
    path = parser.parse_args(arguments).file
    print(f"{path.name}, SHA-256 {hashlib.sha256(path.read_bytes()).hexdigest()}; texts written by us")
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines() if line.strip()]
    wrong = []
    for kind in sorted({row["kind"] for row in rows}):
        for language in ("en", "zh", ""):
            chosen = [row for row in rows if row["kind"] == kind and row["language"].startswith(language)]
            asked = [row for row in chosen if mismatches(header_of(row["header"]), row.get("earlier", []), row["text"])]
            if not chosen:
                continue
            low, high = wilson(len(asked), len(chosen))
            told = f"{kind:12} {language or 'all':3} asked {len(asked)} of {len(chosen)}"
            print(f"{told} (95 % interval {100 * low:.0f} to {100 * high:.0f} %)")
            if not language:
                other = kind.startswith("two")
                wrong += [row["id"] for row in chosen if (row in asked) is not other]
    print("judged wrongly:", " ".join(wrong) or "none")
    for language in ("en", "zh"):
        texts = [row["text"] for row in rows if row["kind"].startswith("two") and row["language"].startswith(language)]
        pairs = list(itertools.pairwise(texts))
        asked = [pair for pair in pairs if mismatches(CaseHeader(), [pair[0]], pair[1])]
        print(f"no header, {language}: a text after that of another row: asked {len(asked)} of {len(pairs)}")


if __name__ == "__main__":
    main()
