"""How long an answer should be, and the sentence that tells the model so."""

from __future__ import annotations

import re
from typing import Literal

Length = Literal["brief", "standard", "full"]
"""The length that was asked for. "standard" gives the model no instruction."""

_ENGLISH: dict[Length, str] = {
    "brief": "Answer briefly, in at most five short sentences or list items. Do not leave out warnings.",
    "standard": "",
    "full": "Answer in full, with reasons and alternatives.",
}
_CHINESE: dict[Length, str] = {
    "brief": "请简短回答，最多五个短句或要点，但不要省略警示信息。",
    "standard": "",
    "full": "请详细回答，并说明理由和其他可能。",
}
_HAN = re.compile(r"[\u3400-\u9fff]")


def with_instruction(question: str, length: Length) -> str:
    """The question as the model gets it.

    The instruction is part of the question, not of the system message. If the system message changed, nothing after it
    could be reused from the KV cache.
    """
    instruction = (_CHINESE if _HAN.search(question) else _ENGLISH)[length]
    return f"{question}\n\n{instruction}" if instruction else question
