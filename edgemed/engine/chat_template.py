"""The model file's chat template: renders messages as the prompt format that the model was trained on.

The prompt is returned as spans that say whether they come from the template or from a message, because only the
template may write special tokens (`edgemed.engine.vocabulary`).
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
"""On a busy machine even CPU_SECONDS of processor time can take long. A template cannot sleep."""


@dataclass(frozen=True, slots=True)
class Span:
    """A part of the rendered prompt, and whether it comes from a message or from the template."""

    text: str
    from_message: bool


class ChatTemplate:
    """A template and the names it can use.

    source: the jinja2 text; special_tokens: texts that a message must not be able to form; variables: `bos_token` and
    the like.
    """

    def __init__(self, source: str, special_tokens: Sequence[str], variables: Mapping[str, str]) -> None:
        self._source = source
        self._special_tokens = list(special_tokens)
        self._variables = dict(variables)

    def render(self, messages: Sequence[Message]) -> list[Span]:
        """The prompt, which ends where the assistant's answer begins.

        Raises TemplateError if the template is malformed or hostile, refuses the conversation or renders nothing, and
        EngineError if the conversation is too long for any template.
        """
        length = sum(len(message.content) for message in messages)
        if length > MAX_OUTPUT_CHARACTERS:
            raise EngineError(
                f"The conversation has {length:,} characters, more than any model can read; start a new chat or "
                "shorten the text."
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
                raise _unusable(f"did not finish within {WALL_SECONDS} s") from None
        if process.returncode in (-signal.SIGXCPU, -signal.SIGKILL):
            raise _unusable(f"did not finish within {CPU_SECONDS} s of processor time")
        if process.returncode != 0:
            raise _unusable(f"could not be rendered (exit status {process.returncode})")
        answer = json.loads(printed)
        if "error" in answer:
            raise _unusable(answer["error"])
        if not answer["spans"]:
            raise _unusable("renders nothing")
        return [Span(text, from_message) for text, from_message in answer["spans"]]


def _unusable(fault: str) -> TemplateError:
    return TemplateError(f"The model's chat template {fault.rstrip('.')}; use a model file with another template.")
