"""The notices shown with every answer.

Each fits on one line of 60 columns, because a notice that wraps or scrolls away is not read.
"""

from __future__ import annotations

from typing import Literal

from edgemed.clinical.language import Language

Place = Literal["offline", "remote", "unsealed"]
"""Where text can go: nowhere, to the other end of an ssh connection, or anywhere, because the process is not sealed."""

DIGEST_SHOWN = 8
"""Characters of the weights digest in the header; enough to tell two model files apart."""

_DEMONSTRATION: dict[Language, str] = {
    "en": "DEMONSTRATION MODEL: INVENTS TEXT. ENTER NO PATIENT DATA",
    "zh-CN": "演示模型：内容纯属编造。切勿输入真实患者信息",
}
_PLACE: dict[Language, dict[Place, str]] = {
    "en": {"offline": "OFFLINE", "remote": "REMOTE", "unsealed": "NOT SEALED"},
    "zh-CN": {"offline": "离线", "remote": "远程", "unsealed": "未封闭"},
}
_HEADER: dict[Language, tuple[str, str, str]] = {
    "en": ("AI TEXT, NOT VALIDATED", "CHECK", "UNVERIFIED"),
    "zh-CN": ("AI生成内容，未经临床验证", "使用前核对", "无校验"),
}
_CUT_OFF: dict[Language, str] = {
    "en": "CUT OFF: a dose or a list may be incomplete",
    "zh-CN": "内容中断：剂量或列表可能不完整",
}
_DRAFT: dict[Language, str] = {
    "en": "AI-generated draft, not verified. Reviewed by: ______",
    "zh-CN": "AI生成草稿，未经核实。审核医师：____ 日期：____",
}


def notice(intended_use: str, language: Language = "en") -> str | None:
    """The notice that every answer of a model with this intended use must carry; None if the header line is enough."""
    return _DEMONSTRATION[language] if intended_use == "demonstration" else None


def header_line(weights_digest: str | None, *, place: Place = "offline", language: Language = "en") -> str:
    """The line at the top of every screen: where text can go, what it is, what to do, and the model's digest.

    `weights_digest` is hexadecimal, None for a file without checksums.
    """
    what, advice, unverified = _HEADER[language]
    digest = weights_digest[:DIGEST_SHOWN] if weights_digest else unverified
    return " | ".join((_PLACE[language][place], what, advice, digest))


def cut_off(language: Language = "en") -> str:
    """The line under an answer that was cut off."""
    return _CUT_OFF[language]


def chart_copy(text: str, *, intended_use: str, incomplete: bool, language: Language = "en") -> str:
    """`text` as it is copied: below its notices, and with a mark at its end if it is incomplete."""
    above = [line for line in (notice(intended_use, language), _DRAFT[language]) if line]
    below = [_CUT_OFF[language]] if incomplete else []
    return "\n".join([*above, "", text.strip(), *below]) + "\n"
