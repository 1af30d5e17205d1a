"""The notices beside every answer.

Each fits on one line of 60 columns: a notice that wraps or scrolls away is not read.
"""

from __future__ import annotations

from typing import Literal

from edgemed.clinical.language import Language

Place = Literal["offline", "remote", "unsealed"]
"""Where text can go: nowhere; to the other end of the terminal (ssh); anywhere, because the process is not sealed."""

DIGEST_SHOWN = 8
"""Characters of the weights digest in the header: enough to tell two model files apart by eye."""

_DEMONSTRATION: dict[Language, str] = {
    "en": "DEMONSTRATION MODEL: INVENTS TEXT. ENTER NO PATIENT DATA",
    "zh-CN": "演示模型：内容纯属编造。请勿输入患者资料",
}
_PLACE: dict[Language, dict[Place, str]] = {
    "en": {"offline": "OFFLINE", "remote": "REMOTE", "unsealed": "NOT SEALED"},
    "zh-CN": {"offline": "离线", "remote": "远程", "unsealed": "未封闭"},
}
_HEADER: dict[Language, tuple[str, str, str]] = {
    "en": ("UNVALIDATED AI TEXT", "VERIFY", "UNVERIFIED"),
    "zh-CN": ("未经验证的AI文本", "请核实", "无校验"),
}
_CUT_OFF: dict[Language, str] = {
    "en": "CUT OFF: a dose or a list may be incomplete",
    "zh-CN": "内容中断：剂量或列表可能不完整",
}
_DRAFT: dict[Language, str] = {
    "en": "AI draft, unverified; reviewed by __",
    "zh-CN": "AI草稿，未经核实；审阅人：__",
}


def notice(intended_use: str, language: Language = "en") -> str | None:
    """The notice that every answer of a model with this intended use must carry; None if the header line is enough."""
    return _DEMONSTRATION[language] if intended_use == "demonstration" else None


def header_line(weights_digest: str | None, *, place: Place = "offline", language: Language = "en") -> str:
    """The line above every screen: where text can go, what it is, what to do, and the model's digest.

    `weights_digest` is in hexadecimal, None for a file without checksums.
    """
    what, advice, unverified = _HEADER[language]
    digest = weights_digest[:DIGEST_SHOWN] if weights_digest else unverified
    return " | ".join((_PLACE[language][place], what, advice, digest))


def cut_off(language: Language = "en") -> str:
    """The line under an answer that was cut off."""
    return _CUT_OFF[language]


def chart_copy(text: str, *, intended_use: str, incomplete: bool, language: Language = "en") -> str:
    """`text` as it may leave the screen: plain text below its notice, with a mark if it was cut off."""
    above = [line for line in (notice(intended_use, language), _DRAFT[language]) if line]
    below = [_CUT_OFF[language]] if incomplete else []
    return "\n".join([*above, "", text.strip(), *below]) + "\n"
