"""The sentences around asking: lengths, room, versions, the turn's menu, line mode. English and Simplified Chinese.

Braces are filled with `str.format`.
"""

from __future__ import annotations

from dataclasses import dataclass

from edgemed.chat.lengths import Length
from edgemed.clinical import Language


@dataclass(frozen=True, slots=True)
class AskingStrings:
    """One language's sentences."""

    lengths: dict[Length, str]
    room: str
    no_room: str
    editing: str
    busy: str
    not_ready: str
    no_turn: str
    cannot_resume: str
    no_versions: str
    no_question: str
    nothing_to_undo: str
    taken_back: str
    no_command: str
    not_here: str
    interrupt: str
    where: str
    where_title: str
    seen: str
    seen_unknown: str
    seen_now: str
    seen_busy: str
    seen_report: str
    leave_draft: str
    leave_answer: str
    leave_both: str
    leave_unsaved: str
    stay: str
    quit: str
    lock: str
    with_case: str
    no_case: str
    # Line mode
    answer: str
    reasoning_unspoken: str
    was_reasoning: str
    answer_end: str
    question_number: str
    plain_hint: str
    scrollback: str
    kept_plain: str
    copied_plain: str
    edit_plain: str
    undo_plain: str
    with_case_plain: str
    restarted: str
    stop_plain: str
    screen_only: str
    vault_only: str
    listed: str
    no_number: str
    find_plain: str
    nothing_found: str
    unsaved_plain: str


ENGLISH = AskingStrings(
    lengths={"brief": "brief answer", "standard": "standard answer", "full": "full answer"},
    room="room for about {words} words of answer",
    no_room="too long for the model by about {words} words; shorten it, or start a new chat",
    editing="changing an earlier question · Enter: ask it · Esc: leave it as it was",
    busy="An answer is being written. Esc stops it.",
    not_ready="The model is not ready.",
    no_turn="There is no question yet.",
    cannot_resume="Only the last answer can be resumed, and only if it was cut off.",
    no_versions="There is no other version.",
    no_question="There is no other question.",
    nothing_to_undo="The answer has begun. Esc stops it; F4 changes the question.",
    taken_back="The question is back in the box.",
    no_command="There is no command {word}. It was not sent to the model. F1 or /help lists all commands.",
    not_here="{word} does not work in this chat.",
    interrupt="Ctrl+Q quits. Esc stops an answer.",
    where="{title} · question {number} of {count} · {length} · context {used} of {total} tokens · {model}",
    where_title="untitled chat",
    seen="What the model saw: {tokens} tokens, SHA-256 {digest}",
    seen_unknown=(
        "The prompt of this answer has another digest now: {digest}. "
        "A turn before it, the case header or the place has changed since."
    ),
    seen_now="This is what was sent for the answer of {time}.",
    seen_busy="The model is busy. Look again when the answer has ended.",
    seen_report="For an incident file about this answer: edgemed report {id} -o FILE",
    leave_draft="What you have typed was not sent. {leave} and lose it?",
    leave_answer="An answer is being written. {leave} and lose this conversation?",
    leave_both="An answer is being written, and what you have typed was not sent. {leave} and lose both?",
    leave_unsaved="This conversation is not saved. {leave} and lose it?",
    stay="Stay",
    quit="Quit",
    lock="Lock",
    with_case="New chat with this case. Enter sends it.",
    no_case="This conversation has no question to start again with.",
    answer="Answer:",
    reasoning_unspoken="The model's reasoning, {words}, is left out.",
    was_reasoning="The text above was the model's reasoning. Answer:",
    answer_end="End of answer.",
    question_number="Question {number} of {count}:",
    plain_hint=(
        "Ctrl+C: stop the answer. /help: all commands. /new: new chat. Ctrl+D: quit. "
        "A line ending in \\ continues on the next line."
    ),
    kept_plain="Kept on this computer, encrypted. These are your notes: the chart is the record. /chats lists them.",
    scrollback="This mode writes into your terminal's scrollback; clear it when you leave.",
    copied_plain="Between the lines is the text to copy, with its notice.",
    edit_plain="Type /edit and the changed question on one line.",
    undo_plain="An answer cannot be taken back here; /new starts without it.",
    with_case_plain="New chat with this case. Your next question is sent below it:",
    restarted="The model is running again.",
    stop_plain="Ctrl+C stops an answer while it is written.",
    screen_only="{word} works on the full screen only.",
    listed="{number}. {title}, {changed}, {count} questions",
    no_number="/open and a number from the last list opens a chat.",
    find_plain="Type /find and what to look for.",
    nothing_found="Nothing found.",
    unsaved_plain="Unsaved chat. No text of it is stored, only when it was used; /new starts one that is stored.",
    vault_only="{word} needs a chat that is kept; this one is not saved.",
)

CHINESE = AskingStrings(
    lengths={"brief": "简短回答", "standard": "普通回答", "full": "详细回答"},
    room="约可回答 {words} 字",
    no_room="超出模型上下文约 {words} 字；请缩短，或开始新对话",
    editing="正在修改先前的问题 · Enter：提问 · Esc：保持原样",
    busy="正在回答。按 Esc 停止。",
    not_ready="模型尚未就绪。",
    no_turn="还没有问题。",
    cannot_resume="只能继续最后一个被中断的回答。",
    no_versions="没有其他版本。",
    no_question="没有其他问题。",
    nothing_to_undo="已开始回答。Esc 停止；F4 修改问题。",
    taken_back="问题已放回输入框。",
    no_command="没有命令 {word}，未发送给模型。F1 或 /help 列出全部命令。",
    not_here="{word} 在此对话中不可用。",
    interrupt="Ctrl+Q 退出。Esc 停止回答。",
    where="{title} · 第 {number} 个问题，共 {count} 个 · {length} · 上下文 {used}/{total} 个词元 · {model}",
    where_title="未命名的对话",
    seen="模型看到的内容：{tokens} 个词元，SHA-256 {digest}",
    seen_unknown="该回答当时的提示摘要值不同：{digest}。此前的内容、病例信息或地区设置已有变化。",
    seen_now="这是 {time} 的回答所用的内容。",
    seen_busy="模型正忙。请在回答结束后再看。",
    seen_report="为该回答生成事件报告：edgemed report {id} -o 文件名",
    leave_draft="已输入的文字尚未发送。{leave}并丢弃吗？",
    leave_answer="正在回答。{leave}并丢弃本次对话吗？",
    leave_both="正在回答，且已输入的文字尚未发送。{leave}并全部丢弃吗？",
    leave_unsaved="本次对话未保存。{leave}并丢弃吗？",
    stay="留下",
    quit="退出",
    lock="锁定",
    with_case="已用此病例开始新对话。按 Enter 发送。",
    no_case="本次对话没有可重新开始的问题。",
    answer="回答：",
    reasoning_unspoken="模型的推理过程（{words}）已省略。",
    was_reasoning="以上为模型的推理过程。回答：",
    answer_end="回答结束。",
    question_number="第 {number} 个问题，共 {count} 个：",
    plain_hint="Ctrl+C：停止回答。/help：全部命令。/new：新对话。Ctrl+D：退出。以 \\ 结尾的行在下一行继续。",
    kept_plain="加密保存在本机。这是您的笔记，病历以病历系统为准。输入 /chats 列出对话。",
    scrollback="此模式的文字会留在终端的回滚内容中；离开时请清除。",
    copied_plain="两行之间是可复制的文字，附带提示语。",
    edit_plain="请在一行内输入 /edit 和修改后的问题。",
    undo_plain="此处无法收回回答；/new 可重新开始。",
    with_case_plain="已用此病例开始新对话。您的下一个问题会接在其后：",
    restarted="模型已重新启动。",
    stop_plain="回答生成时按 Ctrl+C 停止。",
    screen_only="{word} 只能在全屏模式使用。",
    listed="{number}. {title}，{changed}，{count} 个问题",
    no_number="输入 /open 和最近列表中的编号可打开对话。",
    find_plain="请输入 /find 和要查找的内容。",
    nothing_found="未找到。",
    unsaved_plain="不保存的对话，不留下任何文字，只记录使用时间；/new 开始保存的对话。",
    vault_only="{word} 需要保存的对话；本对话不保存。",
)

_BY_LANGUAGE: dict[Language, AskingStrings] = {"en": ENGLISH, "zh-CN": CHINESE}


def asking_strings(language: Language) -> AskingStrings:
    """The sentences in `language`."""
    return _BY_LANGUAGE[language]
