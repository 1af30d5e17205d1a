"""The notices shown with every answer.

Each fits on one line, because a notice that wraps or scrolls away is not read.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
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
_PLACE: dict[Language, dict[Place, tuple[str, str, str]]] = {
    "en": {
        "offline": ("OFFLINE", "OFFLINE", "OFFLINE"),
        "remote": ("REMOTE: THIS SCREEN IS SENT OVER SSH", "REMOTE: SENT OVER SSH", "REMOTE"),
        "unsealed": ("NOT SEALED", "NOT SEALED", "NOT SEALED"),
    },
    "zh-CN": {
        "offline": ("离线", "离线", "离线"),
        "remote": ("远程：屏幕内容经 SSH 传出", "远程：屏幕内容经 SSH 传出", "远程"),
        "unsealed": ("未封闭", "未封闭", "未封闭"),
    },
}
_WHAT: dict[Language, str] = {"en": "AI TEXT, NOT VALIDATED", "zh-CN": "AI生成内容，未经临床验证"}
_ADVICE: dict[Language, tuple[str, str, str]] = {
    "en": ("CHECK BEFORE USE", "CHECK BEFORE USE", "CHECK"),
    "zh-CN": ("使用前请核对", "使用前请核对", "请核对"),
}
_FICTITIOUS: dict[Language, str] = {"en": "FICTITIOUS PATIENTS", "zh-CN": "虚构患者"}
_NO_CHECKSUMS: dict[Language, str] = {"en": "UNVERIFIED", "zh-CN": "无校验"}
_CUT_OFF: dict[Language, str] = {
    "en": "CUT OFF: a dose or a list may be incomplete",
    "zh-CN": "内容中断：剂量或列表可能不完整",
}
_DRAFT: dict[Language, str] = {
    "en": "AI-generated draft (model {made}), not verified. Reviewed by: ______",
    "zh-CN": "AI生成草稿（模型 {made}），未经核实。审核医师：____ 日期：____",
}
_SIGNED: dict[Language, str] = {
    "en": "AI-generated draft (model {made}). Reviewed by: {name}",
    "zh-CN": "AI生成草稿（模型 {made}）。审核医师：{name}",
}
_SIGNED_AT: dict[Language, str] = {"en": ", {time}", "zh-CN": " 日期：{time}"}
_REVIEWED: dict[Language, str] = {
    "en": "Redaction-assisted; reviewed by {reviewer}",
    "zh-CN": "身份信息经规则辅助隐去，可能有遗漏；审核人：{reviewer}",
}
_EXPORTED: dict[Language, str] = {
    "en": "AI-generated draft (model {made}), not verified",
    "zh-CN": "AI生成草稿（模型 {made}），未经核实",
}
_EXPORT_DATE: dict[Language, str] = {"en": "Exported: {at}", "zh-CN": "导出时间：{at}"}
_AUDIT: dict[Language, str] = {"en": "Audit: {head}", "zh-CN": "审计：{head}"}


def notice(intended_use: str, language: Language = "en") -> str | None:
    """The notice that every answer of a model with this intended use must carry; None if the header line is enough."""
    return _DEMONSTRATION[language] if intended_use == "demonstration" else None


def model_mark(weights_digest: str | None, language: Language = "en") -> str:
    """The beginning of the weights digest (hexadecimal), which names the model file; None: it has no checksums."""
    return weights_digest[:DIGEST_SHOWN] if weights_digest else _NO_CHECKSUMS[language]


def header_lines(
    weights_digest: str | None, *, place: Place = "offline", language: Language = "en", fictitious: bool = False
) -> tuple[str, ...]:
    """The line at the top of every screen: where text can go, what it is, what to do, and the model's digest.

    The longest wording first; the others are for terminals of 80 and of 60 columns. `weights_digest` is hexadecimal,
    None for a file without checksums. fictitious: say that the patients are, as the demonstration's are; its notice
    says what the text is, so the narrowest wording leaves that out.
    """
    mark = model_mark(weights_digest, language)
    wordings = [
        (where, _WHAT[language], advice, mark)
        for where, advice in zip(_PLACE[language][place], _ADVICE[language], strict=True)
    ]
    if not fictitious:
        return tuple(map(" | ".join, wordings))
    where, _, advice, _ = wordings[-1]
    return tuple(" | ".join((_FICTITIOUS[language], *wording)) for wording in (*wordings, (where, advice, mark)))


def cut_off(language: Language = "en") -> str:
    """The line under an answer that was cut off."""
    return _CUT_OFF[language]


def chart_copy(
    text: str,
    *,
    intended_use: str,
    incomplete: bool,
    weights_digest: str | None,
    written: datetime | None = None,
    language: Language = "en",
    review: tuple[str, datetime] | None = None,
) -> str:
    """`text` as it is copied: below its notices, and with a mark at its end if it is incomplete.

    `written`: when the answer was asked for, shown in local time; None for text that is no single answer. `review`: who
    reviewed it, and when.
    """
    made = model_mark(weights_digest, language)
    if written is not None:
        made += written.astimezone().strftime(", %Y-%m-%d %H:%M" if language == "en" else "，%Y-%m-%d %H:%M")
    draft = _DRAFT[language].format(made=made)
    if review is not None:
        name, time = review
        draft = _SIGNED[language].format(made=made, name=name)
        draft += _SIGNED_AT[language].format(time=time.astimezone().strftime("%Y-%m-%d %H:%M"))
    above = [line for line in (notice(intended_use, language), draft) if line]
    below = [_CUT_OFF[language]] if incomplete else []
    return "\n".join([*above, "", text.strip(), *below]) + "\n"


def export_text(
    text: str,
    *,
    reviewer: str,
    intended_use: str,
    weights_digests: Sequence[str | None],
    exported: datetime,
    audit_head: str = "",
    language: Language = "en",
    note_reviewer: str | None = None,
) -> str:
    """A redacted text as it stands in a file: below who reviewed it, what made it, when, and the head of the audit.

    `weights_digests`: of the models that wrote it. `exported` is shown in local time. `note_reviewer`: who reviewed the
    note that is exported, empty for a draft; None if the text is no note. When is left out: it is a date of the
    patient's care, and nobody looks for dates above the text.
    """
    made = ", ".join(dict.fromkeys(model_mark(digest, language) for digest in weights_digests))
    of_note = _SIGNED if note_reviewer else _DRAFT
    origin = _EXPORTED if note_reviewer is None else of_note
    above = [
        _REVIEWED[language].format(reviewer=reviewer),
        origin[language].format(made=made, name=note_reviewer),
        notice(intended_use, language),
        _EXPORT_DATE[language].format(at=f"{exported.astimezone():%Y-%m-%d %H:%M}"),
        _AUDIT[language].format(head=audit_head) if audit_head else None,
    ]
    return "\n".join([*filter(None, above), "", text.strip("\n")]) + "\n"
