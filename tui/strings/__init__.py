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
    version: str
    word_count: tuple[str, str]
    """One word; several words."""
    not_verified: str
    demonstration: str
    reasoning: str
    reasoning_open: str
    placeholder: str
    nothing_stored: str
    examples: tuple[str, ...]
    """Questions shown while the chat is empty."""
    examples_title: str
    first_keys: str
    loading: str
    loading_stage: str
    loading_stages: dict[str, str]
    """The engine's name for a stage of loading -> the words for it."""
    reading: str
    reading_share: str
    reading_left: str
    seconds: str
    minutes: str
    answering: str
    stopping: str
    queued: str
    new_chat: str
    brought_back: str
    nothing_to_bring_back: str
    nothing_to_copy: str
    copied: str
    selectable: str
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
    resume: str
    resume_plain: str
    links_closed: str
    room_left: str
    first_word: str
    speed: str
    memory: str
    cache: str
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
    model: str
    model_facts: str
    checked: str
    unchecked: str
    close: str
    palette_placeholder: str

    def counted(self, count: int) -> str:
        """So many words, in words."""
        return self.word_count[count != 1].format(count=count)

    def duration(self, seconds: float) -> str:
        """A time, rounded as an estimate: seconds up to two minutes, otherwise minutes."""
        if seconds < 120:
            return self.seconds.format(count=max(1, round(seconds)))
        return self.minutes.format(count=round(seconds / 60))


ENGLISH = Strings(
    you="You",
    version="{place} of {of}",
    word_count=("1 word", "{count} words"),
    not_verified="not verified",
    demonstration="DEMONSTRATION",
    reasoning="▸ The model's reasoning, {words}. Tab and Enter, or a click, open it",
    reasoning_open="▾ The model's reasoning, {words}: a draft that the answer may contradict",
    placeholder="Type a question. Enter: send · Ctrl+J: new line · F1 or ?: help",
    nothing_stored="Nothing is saved. This conversation is deleted when you quit.",
    examples_title="For example:",
    examples=(
        "A 64-year-old has had chest pain for 2 hours. What must not be missed?",
        "How is the dose of enoxaparin adjusted when eGFR is 25 mL/min?",
        "Rewrite this for the patient in plain words: ...",
    ),
    first_keys="Esc: stop · F2: copy the answer · Ctrl+N: new chat · Ctrl+P: all commands",
    loading="Loading the model",
    loading_stage="Loading the model: {stage}, {percent} %",
    loading_stages={"opening": "opening the file", "loading": "reading the weights", "ready": "ready"},
    reading="Reading your text",
    reading_share="Reading your text, {percent} %",
    reading_left="Reading your text, {percent} %, about {time} left",
    seconds="{count} s",
    minutes="{count} minutes",
    answering="Answering. Esc stops and keeps the text",
    stopping="Stopping",
    queued="Next: {text}",
    new_chat="New chat. /back brings the previous one back.",
    brought_back="The previous chat is back.",
    nothing_to_bring_back="There is no previous chat to bring back.",
    nothing_to_copy="There is no answer to copy yet.",
    copied="Copied. If nothing pastes, your terminal blocks it: press F2 again to show the text for selection.",
    selectable="Select the text with the mouse; if nothing is marked, hold Shift. Esc closes this page",
    copy_cut="This answer was CUT OFF: a dose or a list may be incomplete. Copy it anyway?",
    copy_cut_yes="Copy the incomplete answer",
    copy_cut_no="Do not copy",
    engine_down="{error} Your conversation is safe. Ctrl+R restarts it.",
    engine_gone="The model is not running.",
    restarting="{error} It is being restarted for your question.",
    length_reached="the answer reached its length limit",
    context_full="this conversation is now too long for the model. Ctrl+N: new chat (keeps the case)",
    context_full_plain="this conversation is now too long for the model. /samecase: new chat (keeps the case)",
    stopped_by_you="stopped by you",
    interrupted="the program ended before the answer did",
    resume="F6: resume",
    resume_plain="/resume: continue it",
    links_closed="Links do not open here: this program stays offline.",
    room_left="room left {percent} %",
    first_word="first word in about {time}",
    speed="{value} tokens/s",
    memory="memory {share}",
    cache="cache hits {percent} %",
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
    model="Model: {name}, {size}, {checked}.",
    model_facts="{name}: {layers} MoE layers of {experts} experts, {bits} bits per weight, {size}, {checked}.",
    checked="checked as it is read",
    unchecked="UNVERIFIED: no checksums",
    close="Esc closes this page",
    palette_placeholder="Find a command",
)

CHINESE = Strings(
    you="您",
    version="第 {place} 个，共 {of} 个",
    word_count=("1 字", "{count} 字"),
    not_verified="未经核实",
    demonstration="演示",
    reasoning="▸ 模型的推理过程，{words}。按 Tab 和 Enter 或点击展开",
    reasoning_open="▾ 模型的推理过程，{words}：仅为草稿，可能与回答不一致",
    placeholder="请输入问题。Enter：发送 · Ctrl+J：换行 · F1 或 ?：帮助",
    nothing_stored="不保存任何文字。退出后，本次对话即被删除。",
    examples_title="例如：",
    examples=(
        "64岁患者胸痛2小时，哪些疾病不能漏诊？",
        "eGFR 为 25 mL/min 时，依诺肝素的剂量如何调整？",
        "请用通俗的语言为患者改写以下内容：……",
    ),
    first_keys="Esc：停止 · F2：复制回答 · Ctrl+N：新对话 · Ctrl+P：全部命令",
    loading="正在加载模型",
    loading_stage="正在加载模型：{stage}，{percent} %",
    loading_stages={"opening": "打开文件", "loading": "读取权重", "ready": "就绪"},
    reading="正在读取您的输入",
    reading_share="正在读取您的输入，{percent} %",
    reading_left="正在读取您的输入，{percent} %，约剩 {time}",
    seconds="{count} 秒",
    minutes="{count} 分钟",
    answering="正在回答。Esc 停止并保留文字",
    stopping="正在停止",
    queued="下一个问题：{text}",
    new_chat="已开始新对话。/back 恢复上一个对话。",
    brought_back="已恢复上一个对话。",
    nothing_to_bring_back="没有可恢复的对话。",
    nothing_to_copy="还没有可复制的回答。",
    copied="已复制。如果无法粘贴，说明终端禁止程序写入剪贴板：再按一次 F2，显示文字供您选取。",
    selectable="请用鼠标选取文字；如果无法选取，请按住 Shift。Esc 关闭本页",
    copy_cut="该回答已中断：剂量或列表可能不完整。仍要复制吗？",
    copy_cut_yes="复制不完整的回答",
    copy_cut_no="不复制",
    engine_down="{error} 对话未丢失。按 Ctrl+R 重新启动模型。",
    engine_gone="模型未运行。",
    restarting="{error} 正在为您的问题重新启动模型。",
    length_reached="已达到回答的长度上限",
    context_full="本次对话过长，已超出模型的上下文。Ctrl+N：新对话（保留病例）",
    context_full_plain="本次对话过长，已超出模型的上下文。/samecase：新对话（保留病例）",
    stopped_by_you="由您停止",
    interrupted="程序在回答完成前结束",
    resume="F6：继续",
    resume_plain="/resume：继续",
    links_closed="此处不打开链接：本程序保持离线。",
    room_left="剩余空间 {percent} %",
    first_word="约 {time}后出第一个字",
    speed="{value} 词元/秒",
    memory="内存 {share}",
    cache="缓存命中 {percent} %",
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
    model="模型：{name}，{size}，{checked}。",
    model_facts="{name}：{layers} 层 × {experts} 个子网络，每权重 {bits} 位，{size}，{checked}。",
    checked="读取时核对校验和",
    unchecked="无校验：文件没有校验和",
    close="Esc 关闭本页",
    palette_placeholder="查找命令",
)

_BY_LANGUAGE: dict[Language, Strings] = {"en": ENGLISH, "zh-CN": CHINESE}


def help_text(language: Language, commands: str) -> str:
    """The help page, in Markdown, with the table of commands."""
    page = (Path(__file__).parent.parent / "help" / f"{language}.md").read_text(encoding="utf-8")
    return page.replace("COMMANDS", commands, 1)


def strings(language: Language) -> Strings:
    """The interface's sentences in `language`."""
    return _BY_LANGUAGE[language]
