"""The sentences of notes, letters and their templates, in English and in Simplified Chinese.

Braces are filled with `str.format`; double braces stand for placeholders of templates.
"""

from __future__ import annotations

from dataclasses import dataclass

from edgemed.clinical import Language


@dataclass(frozen=True, slots=True)
class NoteStrings:
    """One language's sentences."""

    choose: str
    write: str
    no_source: str
    no_answer: str
    edit_hint: str
    head_draft: str
    head_reviewed: str
    leave_note: str
    # The note's screen
    source: str
    note: str
    draft: str
    reviewed: str
    added: str
    dropped: str
    in_line: str
    more: str
    nothing_found: str
    check_failed: str
    check_cut: str
    filled: str
    keys: str
    not_saved: str
    who: tuple[str, str, str]
    who_keys: str
    reviewed_now: str
    marks_left: str
    # Templates
    choose_template: str
    own_template: str
    new_template: str
    name_asked: tuple[str, str, str]
    not_a_name: str
    skeleton: str
    template_keys: str
    template_works: str
    template_saved: str
    template_not_saved: str
    template_holds: str
    no_folder: str
    leave_template: str
    save: str
    discard: str
    stay: str
    broken: dict[str, str]
    """`edgemed.clinical.notes.template.Why` -> what is wrong and what to do."""
    # Line mode
    templates_plain: str
    no_template: str
    edit_plain: str
    who_plain: str
    replace_plain: str


ENGLISH = NoteStrings(
    choose="Write a note or a letter from this chat:",
    write="Write: {title}",
    no_source="Write about the patient first: a note is made of your texts and of the case header.",
    no_answer="There is no ended answer to edit as a note.",
    edit_hint="Alt+D: edit",
    head_draft="note: draft",
    head_reviewed="note reviewed by {name}",
    leave_note="A note is kept nowhere else. {leave} and lose it?",
    source="Your texts and the case header",
    note="Note",
    draft="draft",
    reviewed="reviewed by {name}, {time}",
    added="Not in your text ({count}): {found}",
    dropped="In your text, not in the note ({count}): {found}",
    in_line="{text} (line {line})",
    more="{count} more",
    nothing_found="No number, unit, side or negation differs from your text. The note may still be wrong.",
    check_failed="The comparison failed because of an error in the program: nothing is marked. Compare it yourself.",
    check_cut="Only the first 50,000 characters were compared. Compare the rest yourself.",
    filled="In the copy: {filled}",
    keys="F6: other text · F8: next mark · Ctrl+S: reviewed · F2: copy · Alt+Z: undo · Esc: close (the note is kept)",
    not_saved="Not saved: {error}",
    who=(
        "Reviewed by",
        "Your name as it stands below notes, copies and exports. It is kept in the vault and is not checked.",
        "Name",
    ),
    who_keys="Enter: use this name · Esc: not reviewed",
    reviewed_now="Reviewed by {name}. F2 copies it. A change makes it a draft again.",
    marks_left="Reviewed by {name}, with {count} marks left. F2 copies it. A change makes it a draft again.",
    choose_template="Edit a template:",
    own_template="{title} (changed by you)",
    new_template="New template",
    name_asked=(
        "New template",
        "A short name for its file: letters, digits, hyphens.",
        "Name",
    ),
    not_a_name="Use 1 to 40 letters, digits and hyphens, without spaces.",
    skeleton="""# A template is a plain file outside the vault: it must hold no patient text.
# First the title, then what the model is asked to write. Below the line of three hyphens stands the letter:
# {note} is what the model writes; {patient}, {born} and {number} are filled in from the case header afterwards.
Title

Write ... Use only what I wrote above. Plain text without Markdown.
---
Re: {patient}, born {born}, number {number}

{note}
""",
    template_keys="Ctrl+S: save · Alt+Z: undo · Esc: close. A template must hold no patient text.",
    template_works="The template can be used.",
    template_saved="Saved in {path}, a plain file outside the vault: a template must hold no patient text.",
    template_not_saved="Not saved: {error}.",
    template_holds="Not saved: “{found}” is in this case's header. A template is a plain file; take it out.",
    no_folder="Templates cannot be stored in this chat.",
    leave_template="The template has changes that are not saved.",
    save="Save and close",
    discard="Close without saving",
    stay="Stay",
    broken={
        "unreadable": "The template cannot be read; it must be a text file (UTF-8) of at most 64 KiB.",
        "no_title": "The template has no title; write one in the first line.",
        "no_instruction": "The template asks nothing of the model; write it below the title.",
        "no_letter": "The template has no letter; add a line of three hyphens, and below it the letter with {{note}}.",
        "no_note": "The letter must have {{note}} once, where the model's text goes.",
        "placeholder": "There is no {detail}; a letter can have {{note}}, {{patient}}, {{born}} and {{number}}.",
        "placeholder_told": "{detail} stands in what the model is asked; move it below the line of three hyphens.",
    },
    templates_plain="/note NAME writes one. Your own are files in {folder}; change them with any editor. "
    "They must hold no patient text.",
    no_template="There is no template {name}. /note lists them.",
    edit_plain="/editnote replace: paste a new text. /editnote reviewed: put your name to it. /editnote copy: print it "
    "with its notice. No other editor is opened, because it would write the note to the disk unencrypted.",
    who_plain="Who reviewed it? /editnote reviewed and your name, as in /editnote reviewed Dr Jones.",
    replace_plain="Paste the new text, then type a full stop alone in a line. A full stop at once changes nothing.",
)

CHINESE = NoteStrings(
    choose="根据本次对话撰写文书：",
    write="撰写：{title}",
    no_source="请先写出患者的情况：文书依据您的文字和病例信息生成。",
    no_answer="没有已完成的回答可作为文书编辑。",
    edit_hint="Alt+D：编辑",
    head_draft="文书：草稿",
    head_reviewed="文书已由 {name} 审核",
    leave_note="文书没有保存在别处。{leave}并丢弃吗？",
    source="您的文字和病例信息",
    note="文书",
    draft="草稿",
    reviewed="已由 {name} 审核，{time}",
    added="您的文字中没有（{count}）：{found}",
    dropped="您的文字中有、文书中没有（{count}）：{found}",
    in_line="{text}（第 {line} 行）",
    more="另有 {count} 处",
    nothing_found="数字、单位、侧别和否定表述与您的文字没有差异。这并不表示文书正确。",
    check_failed="程序出错，未能比对：没有任何标记。请自行核对。",
    check_cut="只比对了前 50,000 个字符。其余部分请自行核对。",
    filled="复制时填入：{filled}",
    keys="F6：切换文字 · F8：下一处标记 · Ctrl+S：已审核 · F2：复制 · Alt+Z：撤销 · Esc：关闭（文书保留）",
    not_saved="未能保存：{error}",
    who=("审核医师", "您的姓名，将写在文书、复制和导出的内容上。姓名保存在保险库中，程序不作核实。", "姓名"),
    who_keys="Enter：使用此姓名 · Esc：不审核",
    reviewed_now="已由 {name} 审核。F2 复制。修改后恢复为草稿。",
    marks_left="已由 {name} 审核，仍有 {count} 处标记。F2 复制。修改后恢复为草稿。",
    choose_template="编辑模板：",
    own_template="{title}（您已修改）",
    new_template="新模板",
    name_asked=("新模板", "文件的简短名称：文字、数字、连字符。", "名称"),
    not_a_name="请使用 1 至 40 个文字、数字和连字符，不含空格。",
    skeleton="""# 模板是保存在保险库之外的普通文件：其中不得含有患者信息。
# 先写标题，再写对模型的要求。三个连字符一行以下是文书格式：
# {note} 处为模型所写内容；{patient}、{born}、{number} 随后由程序按病例信息填入。
标题

请撰写……只使用我在上文写出的内容。使用纯文本，不用 Markdown。
---
患者：{patient}    出生日期：{born}    病历号：{number}

{note}
""",
    template_keys="Ctrl+S：保存 · Alt+Z：撤销 · Esc：关闭。模板中不得含有患者信息。",
    template_works="模板可以使用。",
    template_saved="已保存到 {path}，这是保险库之外的普通文件：模板中不得含有患者信息。",
    template_not_saved="未能保存：{error}。",
    template_holds="未保存：“{found}”是本病例的身份信息。模板是普通文件，请将其删去。",
    no_folder="本次对话不能保存模板。",
    leave_template="模板有未保存的修改。",
    save="保存并关闭",
    discard="不保存并关闭",
    stay="继续编辑",
    broken={
        "unreadable": "模板无法读取；必须是不超过 64 KiB 的 UTF-8 文本文件。",
        "no_title": "模板没有标题；请写在第一行。",
        "no_instruction": "模板没有对模型的要求；请写在标题下面。",
        "no_letter": "模板没有文书格式；请加一行三个连字符，在其下写出含 {{note}} 的格式。",
        "no_note": "文书格式中必须有且只有一处 {{note}}，即模型所写内容的位置。",
        "placeholder": "没有 {detail} 这个占位符；可以使用 {{note}}、{{patient}}、{{born}}、{{number}}。",
        "placeholder_told": "{detail} 写在了对模型的要求中；请移到三个连字符一行以下。",
    },
    templates_plain="/note 加名称即可撰写。您自己的模板是 {folder} 中的文件，可用任何编辑器修改，"
    "其中不得含有患者信息。",
    no_template="没有模板 {name}。/note 列出全部模板。",
    edit_plain="/editnote replace：粘贴新的文字。/editnote reviewed：署名审核。/editnote copy：连同提示语输出。"
    "不打开其他编辑器，因为那样会把文书未经加密写入磁盘。",
    who_plain="由谁审核？请输入 /editnote reviewed 和姓名，例如 /editnote reviewed 王医生。",
    replace_plain="请粘贴新的文字，然后单独输入一行英文句点结束。直接输入句点则不作修改。",
)

_BY_LANGUAGE: dict[Language, NoteStrings] = {"en": ENGLISH, "zh-CN": CHINESE}


def note_strings(language: Language) -> NoteStrings:
    """The sentences in `language`."""
    return _BY_LANGUAGE[language]
