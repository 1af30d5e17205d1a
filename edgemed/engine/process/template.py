"""Renders a model file's chat template, in a process of its own: `python -m edgemed.engine.process.template`.

A template is a program from whoever made the file. jinja2's immutable sandbox keeps it from reaching Python's insides;
against one that only wants time or memory (a loop in C such as `'x' * 10**12` cannot be interrupted from Python, and a
string that doubles itself fills the memory in 35 steps) nothing but the kernel helps: limits on processor time and
address space, set here before the template is read. They would hit the engine too, hence the process: 0.1 s a turn.

One JSON object on standard input (`template`, `messages`, `special_tokens`, `variables`), one on standard output:
`spans`, a list of [text, whether it came from a message], or `error` with a sentence.
"""

from __future__ import annotations

import json
import re
import resource
import sys
from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import chain, groupby
from typing import Any, NoReturn

from edgemed import privacy

CPU_SECONDS = 2
MEMORY_BYTES = 512 << 20
MAX_OUTPUT_CHARACTERS = 1 << 22


class Veil:
    """Swaps the characters of message contents for private-use ones, so that they can be told apart after rendering.

    Every character gets a stand-in of its own, white space excepted: templates strip it. Strings that the template
    itself mentions (`</think>`) stay readable to it where that is safe, since it may look for them.
    `special_tokens`: no character of a message that could be part of one of these is left unswapped.
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
        """`text` with stand-ins."""
        if self._kept is None:
            return "".join(map(self._hidden, text))
        parts, at = [], 0
        for match in self._kept.finditer(text):
            parts += [*map(self._hidden, text[at : match.start()]), match[0]]
            at = match.end()
        return "".join([*parts, *map(self._hidden, text[at:])])

    def show(self, text: str) -> str:
        """`text` with every stand-in replaced by what it stands for."""
        return "".join(self._original.get(character, character) for character in text)

    def spans(self, rendered: str) -> Iterator[tuple[str, bool]]:
        """Runs of `rendered`, shown, each with whether it came from a message."""
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
    """Whether no occurrence of a special token can overlap one of `literal`, whatever stands around them."""
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
    """The conversation as text. Raises jinja2's errors, MemoryError, or ValueError with what to tell."""
    from jinja2 import nodes
    from jinja2.exceptions import SecurityError, TemplateError
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Environment(ImmutableSandboxedEnvironment):
        def unsafe_undefined(self, obj: Any, attribute: str) -> NoReturn:
            # The sandbox's own answer prints as nothing and fails only when used further.
            raise SecurityError(f"access to {attribute!r}")

    def refuse(reason: str) -> NoReturn:
        raise TemplateError(reason)

    # As transformers sets it up: templates are written for exactly this.
    environment = Environment(trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"])
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

    def to_json(value: Any, indent: int | None = None) -> str:
        # Quotes and line ends must be escaped as what they are, so the veil is lifted and put on again.
        return veil.hide(json.dumps(shown(value), ensure_ascii=False, indent=indent))

    environment.filters["tojson"] = to_json
    environment.globals["raise_exception"] = refuse
    environment.globals["strftime_now"] = lambda layout: datetime.now().strftime(layout)
    messages = [{"role": role, "content": veil.hide(content)} for role, content in request["messages"]]
    rendered = environment.from_string(parsed).render(
        messages=messages, add_generation_prompt=True, tools=None, documents=None, **request["variables"]
    )
    if len(rendered) > MAX_OUTPUT_CHARACTERS:
        raise ValueError(f"writes more than {MAX_OUTPUT_CHARACTERS >> 20} million characters")
    return list(veil.spans(rendered))


def fault(error: BaseException) -> str:
    """What is wrong with the template, as the end of the sentence `The model's chat template ...`."""
    from jinja2 import exceptions

    reason = " ".join(str(error).split())[:300]
    match error:
        case exceptions.TemplateSyntaxError():
            return f"is malformed in line {error.lineno}: {reason}"
        case exceptions.SecurityError():
            return f"reaches for what no template may touch: {reason}"
        case OverflowError() if "range" in reason.lower():
            return f"loops too often: {reason}"
        case MemoryError():
            return f"needs more than {MEMORY_BYTES >> 20} MiB of memory"
        case RecursionError():
            return "calls itself without end"
        case exceptions.TemplateError():
            return f"refuses this conversation: {reason}"
        case ValueError() if reason.startswith("writes more than"):
            return reason
        case _:
            return f"fails: {reason or type(error).__name__}"


def main() -> int:
    """Serve one request. The conversation is on standard input, so the locks close before it is read."""
    privacy.lock_down(allow_unsealed=True)  # the process that started this one has decided about that
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    request = json.load(sys.stdin.buffer)
    try:
        answer: dict[str, Any] = {"spans": render(request)}
    except Exception as error:
        answer = {"error": fault(error)}
    sys.stdout.buffer.write(json.dumps(answer).encode())
    sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
