"""Every sentence of the chat's interface, in English and in Simplified Chinese.

Braces are filled with `str.format`. The notices that go with answers are in `edgemed.clinical`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgemed.clinical import Language


@dataclass(frozen=True, slots=True)
class Strings:
    """One language's sentences."""

    you: str
    placeholder: str
    nothing_stored: str
    loading: str
    loading_stage: str
    loading_stages: dict[str, str]
    """The engine's name for a stage of loading -> the words for it."""
    reading: str
    reading_left: str
    answering: str
    stopping: str
    queued: str
    new_chat: str
    brought_back: str
    nothing_to_bring_back: str
    nothing_to_copy: str
    copied: str
    copy_cut: str
    copy_cut_yes: str
    copy_cut_no: str
    engine_down: str
    engine_gone: str
    restarting: str
    length_reached: str
    context_full: str
    context_full_plain: str
    stopped_by_you: str
    interrupted: str
    links_closed: str
    speed: tuple[str, str]
    memory: tuple[str, str]
    cache: tuple[str, str]
    context: tuple[str, str]
    """The status line's phrases, each in full and short."""
    experts_title: str
    experts_together: str
    in_memory: str
    on_disk: str
    hit: str
    missed: str
    disk_rate: str
    wait: str
    wait_value: str
    help_hint: str
    model_facts: str
    checked: str
    unchecked: str
    close: str
    palette_placeholder: str


ENGLISH = Strings(
    you="You",
    placeholder="Type a question. Enter: send · Ctrl+J: new line · F1 or ?: help",
    nothing_stored="No text is saved. This conversation is deleted when you quit.",
    loading="Loading the model",
    loading_stage="Loading the model: {stage}, {percent} %",
    loading_stages={"opening": "opening the file", "loading": "reading the weights", "ready": "ready"},
    reading="Reading your text, {done}/{total} tokens",
    reading_left="Reading your text, {done}/{total} tokens, about {seconds} s left",
    answering="Answering, {tokens} tokens. Esc stops and keeps the text",
    stopping="Stopping",
    queued="Next: {text}",
    new_chat="New chat. /back brings the previous one back.",
    brought_back="The previous chat is back.",
    nothing_to_bring_back="There is no previous chat to bring back.",
    nothing_to_copy="There is no answer to copy yet.",
    copied="Copied. If nothing pastes, your terminal blocks copying by programs.",
    copy_cut="This answer was CUT OFF: a dose or a list may be incomplete. Copy it anyway?",
    copy_cut_yes="Copy the incomplete answer",
    copy_cut_no="Do not copy",
    engine_down="{error} Your conversation is safe. Ctrl+R restarts it.",
    engine_gone="The model is not running.",
    restarting="{error} It is being restarted for your question.",
    length_reached="the answer reached its length limit",
    context_full="this conversation is now too long for the model. Ctrl+N: new chat",
    context_full_plain="this conversation is now too long for the model. /new: new chat",
    stopped_by_you="stopped by you",
    interrupted="the program ended before the answer did",
    links_closed="Links do not open here: this program stays offline.",
    speed=("{value} tokens/s", "{value} t/s"),
    memory=("memory {share}", "{share}"),
    cache=("cache {percent} %", "hit {percent} %"),
    context=("context {used}/{total}", "ctx {used}/{total}"),
    experts_title="{layers} layers of {experts} experts",
    experts_together="{title}, {count}/cell",
    in_memory="in memory {percent} %",
    on_disk="on disk",
    hit="used: hit",
    missed="used: missed",
    disk_rate="disk",
    wait="wait",
    wait_value="{ms} ms/token",
    help_hint="F1 help",
    model_facts="{name}: {layers} MoE layers of {experts} experts, {bits} bits per weight, {size}, {checked}.",
    checked="checked as it is read",
    unchecked="UNVERIFIED: no checksums",
    close="Esc closes this page",
    palette_placeholder="Find a command",
)

CHINESE = Strings(
    you="您",
    placeholder="请输入问题。Enter：发送 · Ctrl+J：换行 · F1 或 ?：帮助",
    nothing_stored="不保存任何文字。退出后，本次对话即被删除。",
    loading="正在加载模型",
    loading_stage="正在加载模型：{stage}，{percent} %",
    loading_stages={"opening": "打开文件", "loading": "读取权重", "ready": "就绪"},
    reading="正在读取您的输入，{done}/{total} 个词元",
    reading_left="正在读取您的输入，{done}/{total} 个词元，约剩 {seconds} 秒",
    answering="正在回答，已有 {tokens} 个词元。Esc 停止并保留文字",
    stopping="正在停止",
    queued="下一个问题：{text}",
    new_chat="已开始新对话。/back 恢复上一个对话。",
    brought_back="已恢复上一个对话。",
    nothing_to_bring_back="没有可恢复的对话。",
    nothing_to_copy="还没有可复制的回答。",
    copied="已复制。如果无法粘贴，说明终端禁止程序写入剪贴板。",
    copy_cut="该回答已中断：剂量或列表可能不完整。仍要复制吗？",
    copy_cut_yes="复制不完整的回答",
    copy_cut_no="不复制",
    engine_down="{error} 对话未丢失。按 Ctrl+R 重新启动模型。",
    engine_gone="模型未运行。",
    restarting="{error} 正在为您的问题重新启动模型。",
    length_reached="已达到回答的长度上限",
    context_full="本次对话过长，已超出模型的上下文。Ctrl+N：新对话",
    context_full_plain="本次对话过长，已超出模型的上下文。/new：新对话",
    stopped_by_you="由您停止",
    interrupted="程序在回答完成前结束",
    links_closed="此处不打开链接：本程序保持离线。",
    speed=("{value} 词元/秒", "{value}/秒"),
    memory=("内存 {share}", "{share}"),
    cache=("缓存命中 {percent} %", "命中 {percent} %"),
    context=("上下文 {used}/{total}", "{used}/{total}"),
    experts_title="{layers} 层 × {experts} 个子网络",
    experts_together="{title}，每格 {count} 个",
    in_memory="在内存中 {percent} %",
    on_disk="在磁盘上",
    hit="使用：命中",
    missed="使用：未命中",
    disk_rate="磁盘",
    wait="等待",
    wait_value="{ms} 毫秒/词元",
    help_hint="F1 帮助",
    model_facts="{name}：{layers} 层 × {experts} 个子网络，每权重 {bits} 位，{size}，{checked}。",
    checked="读取时核对校验和",
    unchecked="无校验：文件没有校验和",
    close="Esc 关闭本页",
    palette_placeholder="查找命令",
)

_BY_LANGUAGE: dict[Language, Strings] = {"en": ENGLISH, "zh-CN": CHINESE}


def help_text(language: Language, commands: str) -> str:
    """The help page, in Markdown, with the table of commands."""
    page = (Path(__file__).parent / "help" / f"{language}.md").read_text(encoding="utf-8")
    return page.replace("COMMANDS", commands, 1)


def strings(language: Language) -> Strings:
    """The interface's sentences in `language`."""
    return _BY_LANGUAGE[language]
