"""The review of an export in line mode: the text with its findings in numbered brackets, and what to keep of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgemed.chat.visible import visible
from edgemed.clinical.redaction import Review
from edgemed.tui.exporting import kind_name, one_line, state_of
from edgemed.tui.strings.export import ExportStrings

if TYPE_CHECKING:
    from edgemed.tui.plain.chat import PlainChat

END = "-"
"""Typed instead of numbers, it ends the review without an export."""


def reviewed(review: Review, chat: PlainChat, words: ExportStrings) -> bool:
    """Let a person read the text and decide; whether the export may go on."""
    chat.say(words.incomplete)
    _print(review, chat, words)
    while True:
        line = chat.read_line("> ")
        if line is None or line.strip() == END:
            return False
        if not line.strip():
            return True
        _decide(review, line.strip(), chat, words)


def _print(review: Review, chat: PlainChat, words: ExportStrings) -> None:
    """The text with each finding as [number words], then a line for each finding."""
    parts, at = [], 0
    for number, each in enumerate(review.found, 1):
        parts += [review.text[at : each.start], f"[{number} {review.words(each)}]"]
        at = each.end
    counts = {"found": len(review.found), "kept": len(review.kept), "redacted": len(review.chosen)}
    for line in (words.heading.format(**counts), "", "".join([*parts, review.text[at:]]), ""):
        chat.say(line)
    labels = review.labels()
    for number, each in enumerate(review.found, 1):
        kind, state = kind_name(each.kind, chat.session), state_of(review, each, labels.get(each), words)
        chat.say(f"{number}. {kind}: {visible(one_line(review.words(each)))}. {state}")
    if not review.found:
        chat.say(words.none_found)
    chat.say(words.plain_keep)


def _decide(review: Review, line: str, chat: PlainChat, words: ExportStrings) -> None:
    """Keep the findings with these numbers, redact them again, or redact these words as well."""
    if line.startswith("+"):
        wanted = line[1:].strip()
        count = review.mark_all(wanted)
        if count:
            chat.say(words.plain_added.format(count=count))
            _print(review, chat, words)  # the numbers are others now
        else:
            chat.say(words.not_found.format(words=visible(wanted)))
        return
    for word in line.replace(",", " ").split():
        if word.isascii() and word.isdecimal() and 1 <= int(word) <= len(review.found):
            review.toggle(review.found[int(word) - 1])
    kept = [str(number) for number, each in enumerate(review.found, 1) if each in review.kept]
    chat.say(words.plain_kept.format(numbers=", ".join(kept) or words.nobody))
