"""The sentences of the text export and its review, in both languages. Braces are filled with `str.format`."""

from __future__ import annotations

from dataclasses import dataclass

from edgemed.clinical import Language


@dataclass(frozen=True, slots=True)
class ExportStrings:
    """One language's sentences."""

    what: str
    note: str
    parts: dict[str, str]
    part_words: dict[str, str]
    """What line mode takes as the first word -> the part."""
    nothing: str
    no_note: str
    question: str
    answer: str
    heading: str
    incomplete: str
    place: str
    marked: str
    known: str
    redacted: str
    kept: str
    none_found: str
    keys: str
    word: str
    word_keys: str
    not_found: str
    read_to_end: str
    done_key: str
    reviewer: str
    reviewer_hint: str
    no_reviewer: str
    confirm: str
    confirm_known: str
    path: str
    path_hint: str
    form_keys: str
    exists: str
    no_path: str
    no_folder: str
    is_folder: str
    not_writable: str
    disk_full: str
    in_the_way: str
    other_error: str
    written: str
    cancelled: str
    # Line mode
    usage: str
    plain_note: str
    plain_exists: str
    plain_keep: str
    plain_kept: str
    plain_added: str
    plain_reviewer: str
    plain_yes: str
    yes: str
    nobody: str


ENGLISH = ExportStrings(
    what="Export to a text file, after a review:",
    note="The edited note · {state}",
    parts={"answer": "The answer", "both": "Question and answer", "chat": "The whole chat"},
    part_words={"note": "note", "answer": "answer", "both": "both", "chat": "chat"},
    nothing="There is no answer to export yet.",
    no_note="This answer has no edited note; edit it first (Alt+D or /editnote).",
    question="Question {number}:",
    answer="Answer {number}:",
    heading="Review before export: {found} found, {redacted} redacted, {kept} kept",
    incomplete=(
        "The rules find only part of what tells who a text is about: read all of it. "
        "The file is not encrypted and leaves the vault."
    ),
    place="{number} of {count} · {kind}: “{words}” · {state}",
    marked="marked by you",
    known="in the case header",
    redacted="redacted as [{label}]",
    kept="KEPT",
    none_found="The rules found nothing. That does not mean that nothing is there.",
    keys=(
        "N, P: next, previous · Space: keep or redact · A, K: redact, keep all equal · "
        "R: redact the mouse's selection or a word · Esc: do not export"
    ),
    word="Redact these words wherever they stand",
    word_keys="Enter: redact · Esc: back",
    not_found="“{words}” is not in the text.",
    read_to_end="Read to the end (PageDown); then Y goes on to the file.",
    done_key="Y: I have read it; go on",
    reviewer="Reviewed by",
    reviewer_hint="your name, as it is to stand in the file",
    no_reviewer="Without a name there is no export.",
    confirm="{redacted} places are redacted, {kept} found ones are kept.",
    confirm_known="{count} of these are in the case header.",
    path="File",
    path_hint="the file to write",
    form_keys="Enter: go on · Esc: do not export",
    exists="{path} exists. Enter again replaces it; or type another name.",
    no_path="Type the name of a file.",
    no_folder="There is no folder {folder}; make it first, or choose another.",
    is_folder="{path} is a folder; name a file in it.",
    not_writable="{path} cannot be written: {reason}; choose another place.",
    disk_full="{path} cannot be written, because the disk is full; free some space, then press Enter again.",
    in_the_way="{path} is in the way; remove it, or choose another name.",
    other_error="{path} cannot be written: {reason}.",
    written="Exported to {path}. The file is not encrypted.",
    cancelled="Nothing was exported.",
    usage=(
        "Type /export and a file name. It takes the edited note, or the answer if there is none; /export answer FILE "
        "takes the answer, /export both FILE the question too, /export chat FILE the whole chat."
    ),
    plain_note="This exports the edited note ({state}); /export answer FILE takes the answer as the model wrote it.",
    plain_exists="{path} exists; name another file.",
    plain_keep=(
        "Numbers to keep, as in 2 5 (again: redact); + and words to redact as well; "
        "an empty line when you have read all of it; - ends without a file."
    ),
    plain_kept="Kept: {numbers}.",
    plain_added="Redacted as well, at {count} places.",
    plain_reviewer="Reviewed by (empty: {name}): ",
    plain_yes="I have read it, and {path} may be written. Type yes: ",
    yes="yes",
    nobody="none",
)

CHINESE = ExportStrings(
    what="审核后导出为文本文件：",
    note="编辑后的文书 · {state}",
    parts={"answer": "回答", "both": "问题和回答", "chat": "整个对话"},
    part_words={"文书": "note", "回答": "answer", "问答": "both", "对话": "chat", **ENGLISH.part_words},
    nothing="还没有可导出的回答。",
    no_note="该回答还没有编辑过的文书；请先编辑（Alt+D 或 /editnote）。",
    question="问题 {number}：",
    answer="回答 {number}：",
    heading="导出前审核：发现 {found} 处，隐去 {redacted} 处，保留 {kept} 处",
    incomplete="规则只能发现部分可识别身份的内容，请通读全文。导出的文件不加密，并离开保险库。",
    place="第 {number} 处，共 {count} 处 · {kind}：“{words}” · {state}",
    marked="由您标记",
    known="与病例信息一致",
    redacted="隐去为 [{label}]",
    kept="保留",
    none_found="规则未发现任何内容，但不代表文中没有身份信息。",
    keys=(
        "N、P：下一处、上一处 · 空格：保留或隐去 · A、K：全部隐去、全部保留相同内容 · "
        "R：隐去鼠标选取的文字或输入的词 · Esc：不导出"
    ),
    word="隐去文中所有这些文字",
    word_keys="Enter：隐去 · Esc：返回",
    not_found="文中没有“{words}”。",
    read_to_end="请读到末尾（PageDown），然后按 Y 继续。",
    done_key="Y：已通读，继续",
    reviewer="审核人",
    reviewer_hint="您的姓名，将写入文件",
    no_reviewer="未填写姓名，不能导出。",
    confirm="隐去 {redacted} 处，保留已发现的 {kept} 处。",
    confirm_known="其中 {count} 处与病例信息一致。",
    path="文件",
    path_hint="要写入的文件",
    form_keys="Enter：继续 · Esc：不导出",
    exists="{path} 已存在。再按一次 Enter 即替换；或输入其他名称。",
    no_path="请输入文件名。",
    no_folder="文件夹 {folder} 不存在；请先创建，或另选一个。",
    is_folder="{path} 是文件夹；请输入其中的文件名。",
    not_writable="无法写入 {path}：{reason}；请另选位置。",
    disk_full="无法写入 {path}，因为磁盘已满；请腾出空间，再按 Enter。",
    in_the_way="{path} 占用了临时文件名；请删除它，或另选名称。",
    other_error="无法写入 {path}：{reason}。",
    written="已导出到 {path}。该文件未加密。",
    cancelled="未导出任何内容。",
    usage=(
        "请输入 /export 和文件名。导出编辑后的文书；没有文书则导出回答。"
        "/export 回答 文件名：回答；/export 问答 文件名：连同问题；/export 对话 文件名：整个对话。"
    ),
    plain_note="将导出编辑后的文书（{state}）；/export 回答 文件名：导出模型所写的回答。",
    plain_exists="{path} 已存在；请另选名称。",
    plain_keep=(
        "输入要保留的编号，例如 2 5（再次输入则隐去）；输入 + 和文字可另外隐去；通读后输入空行；输入 - 则不导出。"
    ),
    plain_kept="保留：{numbers}。",
    plain_added="另外隐去 {count} 处。",
    plain_reviewer="审核人（空行：{name}）：",
    plain_yes="我已通读全文，可以写入 {path}。请输入“是”：",
    yes="是",
    nobody="无",
)

_BY_LANGUAGE: dict[Language, ExportStrings] = {"en": ENGLISH, "zh-CN": CHINESE}


def export_strings(language: Language) -> ExportStrings:
    """The sentences in `language`."""
    return _BY_LANGUAGE[language]
