"""Renders a model file's chat template in a separate process, started by `launch`.

A template is a program written by the author of the file. jinja2's immutable sandbox keeps it away from Python's
internals, but not from using endless time or memory: Python cannot interrupt an operation in C such as `'x' * 10**12`,
and a string that doubles itself fills the memory in 35 steps. Only the kernel can, with limits on processor time and
address space, which are set here before the template is parsed. They would also limit the engine, hence the separate
process, which costs 0.1 s per turn.

It reads one JSON object from standard input (`template`, `messages`, `special_tokens`, `variables`) and writes one to
standard output: `spans`, a list of [text, whether it comes from a message], or `error`, a sentence, with `limit`,
whether a limit on memory or output was reached.
"""

from __future__ import annotations

import json
import math
import re
import resource
import sys
from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import chain, groupby
from typing import Any, NoReturn

CPU_SECONDS = 2
CHARACTERS_PER_SECOND = 250_000
"""Of the conversation, for which the limit on processor time grows."""
MEMORY_BYTES = 512 << 20
MAX_OUTPUT_CHARACTERS = 1 << 22


class TooLong(ValueError):  # noqa: N818 - the end of a sentence
    """The template writes more than any prompt can hold."""


class Veil:
    """Replaces the characters of message contents by private-use ones, so that they can be recognised after rendering.

    Every character has one stand-in. White space is not replaced, because templates strip it. Strings that the template
    mentions (such as `</think>`) are not replaced either if that is safe, because it may search for them.
    special_tokens: every character of a message that could become part of one of these is replaced.
    """

    def __init__(self, template: str, literals: Sequence[str], special_tokens: Sequence[str]) -> None:
        used = set(template)
        private = chain(range(0xF0000, 0xFFFFE), range(0x100000, 0x10FFFE))
        self._free = (chr(code) for code in private if chr(code) not in used)
        self._never_plain = {character for token in special_tokens for character in token}
        self._stand_in: dict[str, str] = {}
        self._original: dict[str, str] = {}
        kept = sorted({text for text in literals if _apart(text, special_tokens)}, key=len, reverse=True)
        self._kept = re.compile("|".join(map(re.escape, kept))) if kept else None

    def hide(self, text: str) -> str:
        """`text` with its characters replaced by stand-ins."""
        if self._kept is None:
            return "".join(map(self._hidden, text))
        parts, at = [], 0
        for match in self._kept.finditer(text):
            parts += [*map(self._hidden, text[at : match.start()]), match[0]]
            at = match.end()
        return "".join([*parts, *map(self._hidden, text[at:])])

    def show(self, text: str) -> str:
        """`text` with every stand-in replaced by the original character."""
        return "".join(self._original.get(character, character) for character in text)

    def spans(self, rendered: str) -> Iterator[tuple[str, bool]]:
        """Runs of `rendered` in original characters, each with whether it comes from a message."""
        for hidden, run in groupby(rendered, self._original.__contains__):
            yield self.show("".join(run)), hidden

    def _hidden(self, character: str) -> str:
        if character.isspace() and character not in self._never_plain:
            return character
        stand_in = self._stand_in.get(character)
        if stand_in is None:
            stand_in = next(self._free)
            self._stand_in[character] = stand_in
            self._original[stand_in] = character
        return stand_in


def _apart(literal: str, special_tokens: Sequence[str]) -> bool:
    """True if no occurrence of a special token can overlap an occurrence of `literal` in any text."""
    if not literal:
        return False
    for token in special_tokens:
        if literal in token or token in literal:
            return False
        ends = range(1, min(len(literal), len(token)))
        if any(token[-n:] == literal[:n] or token[:n] == literal[-n:] for n in ends):
            return False
    return True


def render(request: dict[str, Any]) -> list[tuple[str, bool]]:
    """The conversation as (text, whether it comes from a message). Raises jinja2's errors, MemoryError or TooLong."""
    from jinja2 import nodes
    from jinja2.exceptions import SecurityError, TemplateError
    from jinja2.ext import Extension
    from jinja2.parser import Parser
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Environment(ImmutableSandboxedEnvironment):
        def unsafe_undefined(self, obj: Any, attribute: str) -> NoReturn:
            # The sandbox's default returns an undefined value, which renders as nothing and only fails on further use.
            raise SecurityError(f"access to {attribute!r}")

    class GenerationBlocks(Extension):
        """`{% generation %}`, which marks the assistant's words for training and renders what it encloses."""

        tags = {"generation"}  # noqa: RUF012

        def parse(self, parser: Parser) -> nodes.Node:
            line = next(parser.stream).lineno
            return nodes.Scope(parser.parse_statements(("name:endgeneration",), drop_needle=True), lineno=line)

    def refuse(reason: str) -> NoReturn:
        raise TemplateError(reason)

    # The settings of transformers, for which templates are written.
    extensions = ["jinja2.ext.loopcontrols", GenerationBlocks]
    environment = Environment(trim_blocks=True, lstrip_blocks=True, extensions=extensions)
    source = request["template"]
    parsed = environment.parse(source)
    literals = [node.value for node in parsed.find_all(nodes.Const) if isinstance(node.value, str)]
    veil = Veil(source, literals, request["special_tokens"])

    def shown(value: Any) -> Any:
        if isinstance(value, dict):
            return {shown(key): shown(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [shown(item) for item in value]
        return veil.show(value) if isinstance(value, str) else value

    def to_json(
        value: Any,
        ensure_ascii: bool = False,
        indent: int | str | None = None,
        separators: Sequence[str] | None = None,
        sort_keys: bool = False,
    ) -> str:
        # Quotes and line ends must be escaped as themselves, so restore the originals first and hide them again.
        item, key = separators or (None, None)
        pair = None if item is None or key is None else (veil.show(item), veil.show(key))
        return veil.hide(
            json.dumps(
                shown(value), ensure_ascii=ensure_ascii, indent=shown(indent), separators=pair, sort_keys=sort_keys
            )
        )

    environment.filters["tojson"] = to_json
    environment.globals["raise_exception"] = refuse
    environment.globals["strftime_now"] = lambda layout: datetime.now().strftime(layout)
    messages = [{"role": role, "content": veil.hide(content)} for role, content in request["messages"]]
    rendered = environment.from_string(parsed).render(
        messages=messages, add_generation_prompt=True, tools=None, documents=None, **request["variables"]
    )
    if len(rendered) > MAX_OUTPUT_CHARACTERS:
        raise TooLong(f"writes more than {MAX_OUTPUT_CHARACTERS >> 20} million characters")
    return list(veil.spans(rendered))


def fault(error: BaseException) -> str:
    """What is wrong with the template, as the end of the sentence `The model's chat template ...`."""
    from jinja2 import exceptions

    reason = " ".join(str(error).split())[:300]
    match error:
        case exceptions.TemplateSyntaxError():
            return f"is malformed in line {error.lineno}: {reason}"
        case exceptions.SecurityError():
            return f"tries to access something forbidden: {reason}"
        case OverflowError() if "range" in reason.lower():
            return f"loops too often: {reason}"
        case MemoryError():
            return f"needs more than {MEMORY_BYTES >> 20} MiB of memory"
        case RecursionError():
            return "recurses without end"
        case exceptions.TemplateError():
            return f"refuses this conversation: {reason}"
        case TooLong():
            return reason
        case _:
            return f"fails: {reason or type(error).__name__}"


def cpu_seconds(characters: int) -> int:
    """The processor time that a conversation of this length may take."""
    return CPU_SECONDS + characters // CHARACTERS_PER_SECOND


def _limit(resource_: int, wanted: int) -> None:
    """Set a limit of this process. It cannot be raised above one that the user's shell has set (`ulimit`).

    The hard limit is higher by one where it can be: at the hard limit of processor time the kernel sends SIGKILL, which
    anybody may have sent, and at the soft limit SIGXCPU.
    """
    _, hard = resource.getrlimit(resource_)
    allowed = math.inf if hard == resource.RLIM_INFINITY else hard
    resource.setrlimit(resource_, (int(min(wanted, allowed)), int(min(wanted + 1, allowed))))


def main() -> int:
    """Serve one request."""
    request = json.load(sys.stdin.buffer)
    _limit(resource.RLIMIT_CPU, cpu_seconds(sum(len(content) for _, content in request["messages"])))
    _limit(resource.RLIMIT_AS, MEMORY_BYTES)
    try:
        answer: dict[str, Any] = {"spans": render(request)}
    except Exception as error:
        answer = {"error": fault(error), "limit": isinstance(error, MemoryError | TooLong)}
    sys.stdout.buffer.write(json.dumps(answer).encode())
    sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
