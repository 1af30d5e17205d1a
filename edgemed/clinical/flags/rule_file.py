"""The format of a file of phrase rules, one file a language.

    [scope]
    ends = ["but", "however"]            # phrases that end a clause
    [spelling]
    words = ["headache"]                 # long words in which a slip of one letter is mended before anything is matched
    [words]
    chest_pain = ["chest (pain|tightness)", "tight* ... chest"]     # edgemed.clinical.flags.language
    [[silence]]                          # edgemed.clinical.flags.silence
    kind = "negated"; scope = "after"; words = ["denies"]; unless = ["now"]; when = ["yesterday"]
    [[rule]]
    id = "ACS-1"; condition = "acs"
    within = 240                         # characters between the first element and each other one
    any = ["chest_pain + sweating|arm_pain", "stemi"]     # one of these; `+` and, `|` or, names of [words]
    not = ["heartburn_only"]             # no match if one of these stands as near

An element that begins with `~` counts even as past history: "~lithium + tremor".
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass

from edgemed.clinical.flags.language import PhraseError, Phrases
from edgemed.clinical.flags.silence import Silences, cue

_WITHIN = 240


@dataclass(frozen=True, slots=True)
class Element:
    """One of these names must be found. `background`: past history counts."""

    names: tuple[str, ...]
    background: bool


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: a list of combinations of elements, one of which must be found."""

    id: str
    condition: str
    source: str
    within: int
    any: tuple[tuple[Element, ...], ...]
    bars: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RuleFile:
    """The rules of one language, with its phrases and silences. `script`: "han" or "latin"."""

    script: str
    rules: tuple[Rule, ...]
    phrases: Mapping[str, Phrases]
    silences: Silences
    spelling: tuple[str, ...]


def read_rules(name: str, text: str) -> RuleFile:
    """The rules in the text of a file. A mistake raises `PhraseError`, which names the file."""
    try:
        table = tomllib.loads(text)
        words: Mapping[str, list[str]] = table["words"]
        phrases = {key: Phrases(value, words) for key, value in words.items()}
        rules = tuple(_rule(entry, phrases) for entry in table["rule"])
        cues = tuple(cue(entry, words) for entry in table.get("silence", ()))
        ends = Phrases(table["scope"]["ends"], words)
    except (PhraseError, tomllib.TOMLDecodeError) as error:
        raise PhraseError(f"{name}: {error}") from None
    except KeyError as error:
        raise PhraseError(f"{name} has no {error}; add it") from None
    if len({rule.id for rule in rules}) < len(rules):
        raise PhraseError(f"{name} has two rules of one id; give each its own")
    return RuleFile(
        "han" if ".zh" in name else "latin",
        rules,
        phrases,
        Silences(cues, ends),
        tuple(table.get("spelling", {}).get("words", ())),
    )


def _rule(table: Mapping[str, object], phrases: Mapping[str, Phrases]) -> Rule:
    unknown = set(table) - {"id", "condition", "source", "within", "any", "not"}
    combinations, bars = table["any"], table.get("not", [])
    if unknown or not isinstance(combinations, list) or not isinstance(bars, list) or not combinations:
        raise PhraseError(f"Rule {table.get('id')!r} has wrong keys {sorted(unknown)!r}; see rule_file.py")
    rule = Rule(
        id=str(table["id"]),
        condition=str(table["condition"]),
        source=str(table.get("source", table["condition"])),
        within=int(str(table.get("within", _WITHIN))),
        any=tuple(tuple(_element(part) for part in each.split("+")) for each in combinations),
        bars=tuple(bars),
    )
    names = [name for elements in rule.any for element in elements for name in element.names]
    if missing := [name for name in (*names, *bars) if name not in phrases]:
        raise PhraseError(f"Rule {rule.id} uses {missing[0]!r}, which is not in [words]; add it")
    return rule


def _element(part: str) -> Element:
    part = part.strip()
    return Element(tuple(name.strip() for name in part.lstrip("~").split("|")), part.startswith("~"))
