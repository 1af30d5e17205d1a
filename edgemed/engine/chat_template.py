"""The model file's chat template: from messages to the text that the model was trained on.

What came from the template and what came from a message is kept apart, because only the template may write special
tokens (`edgemed.engine.vocabulary`).
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edgemed.engine.process.launch import launch
from edgemed.engine.process.protocol import Message
from edgemed.engine.process.template import CPU_SECONDS, MAX_OUTPUT_CHARACTERS
from edgemed.errors import EngineError, TemplateError

WALL_SECONDS = 60
"""A busy machine may need long for the little processor time that a template gets; it cannot sleep by itself."""


@dataclass(frozen=True, slots=True)
class Span:
    """A run of the rendered prompt and where it came from."""

    text: str
    from_message: bool


class ChatTemplate:
    """A template and what it may refer to.

    source: the jinja2 text. special_tokens: the texts that must not arise from a message. variables: what templates
    call `bos_token` and so on.
    """

    def __init__(self, source: str, special_tokens: Sequence[str], variables: Mapping[str, str]) -> None:
        self._source = source
        self._special_tokens = list(special_tokens)
        self._variables = dict(variables)

    def render(self, messages: Sequence[Message]) -> list[Span]:
        """The prompt, ending where the assistant's answer begins.

        Raises TemplateError for a malformed or hostile template, or one that refuses the conversation or leaves nothing
        of it; EngineError for a conversation that no template could bear.
        """
        length = sum(len(message.content) for message in messages)
        if length > MAX_OUTPUT_CHARACTERS:
            raise EngineError(
                f"The conversation has {length:,} characters, more than any model reads; start a new chat, or shorten "
                "the text."
            )
        request = {
            "template": self._source,
            "messages": [(message.role, message.content) for message in messages],
            "special_tokens": self._special_tokens,
            "variables": self._variables,
        }
        pipe = subprocess.PIPE
        module = "edgemed.engine.process.template"
        with launch(module, env=os.environ, stdin=pipe, stdout=pipe, stderr=pipe) as process:
            try:
                printed, _ = process.communicate(json.dumps(request).encode(), timeout=WALL_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                raise _unusable(f"does not finish within {WALL_SECONDS} s") from None
        if process.returncode in (-signal.SIGXCPU, -signal.SIGKILL):
            raise _unusable(f"does not finish within {CPU_SECONDS} s of computing")
        if process.returncode != 0:
            raise _unusable(f"could not be rendered (exit status {process.returncode})")
        answer = json.loads(printed)
        if "error" in answer:
            raise _unusable(answer["error"])
        if not answer["spans"]:
            raise _unusable("writes nothing")
        return [Span(text, from_message) for text, from_message in answer["spans"]]


def _unusable(fault: str) -> TemplateError:
    return TemplateError(f"The model's chat template {fault.rstrip('.')}; this file cannot be chatted with.")
