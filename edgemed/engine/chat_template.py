"""The model file's chat template: renders messages as the prompt format that the model was trained on.

The prompt is returned as spans that say whether they come from the template or from a message, because only the
template may write special tokens (`edgemed.engine.vocabulary`).
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edgemed.engine.process.launch import launch
from edgemed.engine.process.protocol import Message
from edgemed.engine.process.template import CPU_SECONDS, MAX_OUTPUT_CHARACTERS, MEMORY_BYTES, cpu_seconds
from edgemed.errors import EngineError, SetupError, TemplateError
from edgemed.sizes import format_size

WALL_SECONDS = 60
"""On a busy machine even CPU_SECONDS of processor time can take long. A template cannot sleep."""
LONG = 200_000
"""Characters of a conversation that itself may be what takes too long."""


@dataclass(frozen=True, slots=True)
class Span:
    """A part of the rendered prompt, and whether it comes from a message or from the template."""

    text: str
    from_message: bool


class ChatTemplate:
    """A template and the names it can use.

    source: the jinja2 text; special_tokens: texts that a message must not be able to form; variables: `bos_token` and
    the like; advice: what to do about a template that cannot be used.
    """

    def __init__(
        self,
        source: str,
        special_tokens: Sequence[str],
        variables: Mapping[str, str],
        advice: str = "use a model file with another template",
    ) -> None:
        self._source = source
        self._advice = advice
        self._special_tokens = list(special_tokens)
        self._variables = dict(variables)

    def render(self, messages: Sequence[Message]) -> list[Span]:
        """The prompt, which ends where the assistant's answer begins.

        Raises TemplateError if the template is malformed or hostile, refuses the conversation or renders nothing,
        EngineError if the conversation is too long or the rendering process is killed twice, and SetupError if this
        shell's limits are too low.
        """
        length = sum(len(message.content) for message in messages)
        if length > MAX_OUTPUT_CHARACTERS:
            raise _too_long(length)
        request = {
            "template": self._source,
            "messages": [(message.role, message.content) for message in messages],
            "special_tokens": self._special_tokens,
            "variables": self._variables,
        }
        seconds = cpu_seconds(length)
        status, printed = _run(json.dumps(request).encode(), WALL_SECONDS + seconds)
        if status == -signal.SIGKILL:  # by another program, or for lack of memory: the template is not to blame
            status, printed = _run(json.dumps(request).encode(), WALL_SECONDS + seconds)
        if status == -signal.SIGKILL:
            raise EngineError(
                "The process that renders the chat template was killed twice, by another program or for lack of "
                "memory; close other programs, then ask again."
            )
        answer: dict[str, Any] = (
            json.loads(printed) if status == 0 else {"error": _ending(status, seconds), "limit": True}
        )
        if "error" not in answer:
            if not answer["spans"]:
                raise self._unusable("renders nothing")
            return [Span(text, from_message) for text, from_message in answer["spans"]]
        if answer["limit"]:
            _refuse_narrow_limits()
            if length > LONG:  # with a short text the template worked: it was tried when the model was loaded
                raise _too_long(length)
        raise self._unusable(answer["error"])

    def _unusable(self, fault: str) -> TemplateError:
        return TemplateError(f"The model's chat template {fault.rstrip('.')}; {self._advice}.")


def _run(request: bytes, wall_seconds: float) -> tuple[int | None, bytes]:
    """Exit status, None if it did not end in time, and output of the template's process. Raises SetupError."""
    pipe = subprocess.PIPE
    try:
        process = launch(
            "edgemed.engine.process.template", env=os.environ, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL
        )
    except OSError as error:
        raise SetupError(
            f"The process that renders the chat template cannot be started ({error.strerror}); close other programs, "
            "or raise the limit (`ulimit -u`, `ulimit -v`)."
        ) from None
    with process:
        try:
            printed, _ = process.communicate(request, timeout=wall_seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            return None, b""
    return process.returncode, printed


def _ending(status: int | None, seconds: int) -> str:
    if status is None:
        return f"did not finish within {WALL_SECONDS + seconds} s"
    if status == -signal.SIGXCPU:
        return f"did not finish within {seconds} s of processor time"
    return f"could not be rendered (exit status {status})"


def _refuse_narrow_limits() -> None:
    """Raise SetupError if this shell allows a process less than the template's process allows itself."""
    for kind, wanted, option, unit in (
        (resource.RLIMIT_AS, MEMORY_BYTES, "-v", "memory"),
        (resource.RLIMIT_DATA, MEMORY_BYTES, "-d", "memory"),
        (resource.RLIMIT_CPU, CPU_SECONDS, "-t", "processor time"),
    ):
        limit = min((value for value in resource.getrlimit(kind) if value != resource.RLIM_INFINITY), default=wanted)
        if limit < wanted:
            amount = f"{limit} s" if unit == "processor time" else format_size(limit)
            raise SetupError(
                f"This shell limits the {unit} of a process to {amount} (`ulimit {option}`), too little to render the "
                "chat template; raise the limit."
            )


def _too_long(length: int) -> EngineError:
    return EngineError(
        f"The conversation has {length:,} characters, more than any model can read; start a new chat or shorten the "
        "text."
    )
