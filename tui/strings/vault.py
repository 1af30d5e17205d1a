"""The sentences of everything around the vault: first run, unlocking, the list of chats, hiding and locking.

In English and in Simplified Chinese, like `edgemed.tui.strings`. Braces are filled with `str.format`.
"""

from __future__ import annotations

from dataclasses import dataclass

from edgemed.clinical import Language


@dataclass(frozen=True, slots=True)
class VaultStrings:
    """One language's sentences."""

    # The form of first run and unlocking. Step -> heading, explanation, placeholder.
    steps: dict[str, tuple[str, str, str]]
    keys: str
    keys_passphrase: str
    keys_check: str
    suggestion: str
    differs: str
    too_weak: str
    not_a_size: str
    not_yes_or_no: str
    not_a_pin: str
    wrong_word: str
    making: str
    yes: tuple[str, ...]
    no: tuple[str, ...]
    # Unlocking
    unlock: tuple[str, str, str]
    unlock_keys: str
    opening: str
    wrong_passphrase: str
    vault_busy: str
    vault_damaged: str
    vault_error: str
    # In the chat
    kept: str
    unsaved_header: str
    behind: str
    not_saved: str
    not_recorded: str
    audit: str
    stale: str
    engine_elsewhere: str
    unsaved_kept: str
    # The list
    find: str
    rename: str
    move: str
    list_keys: str
    stale_keys: str
    input_keys: str
    nothing_found: str
    new_case: str
    without_case: str
    untitled: str
    deleted: str
    pinned: str
    running: str
    interrupted_mark: str
    all_of_it: str
    draft: str
    yesterday: str
    erased: str
    # Hidden and locked
    hidden: str
    pin_placeholder: str
    passphrase_placeholder: str
    no_secret: str
    hidden_answering: str
    hidden_done: str
    hidden_keys: str
    wrong_pin: str
    locking: str
    pin_asked: tuple[str, str, str]
    pin_keys: str
    pin_set: str
    pin_removed: str
    hides_after: str

    def keys_of(self, step: str) -> str:
        """The keys of a step of the first run."""
        return {"passphrase": self.keys_passphrase, "check": self.keys_check}.get(step, self.keys)


ENGLISH = VaultStrings(
    steps={
        "passphrase": (
            "A passphrase for your chats",
            "Your chats are kept on this computer, encrypted. Only this passphrase opens them, and nobody can reset "
            "it. They are your notes: the chart stays the record.",
            "Enter takes the words above, or type your own",
        ),
        "repeat": ("Type it again", "The same passphrase, so that a slip of the hand does not lock you out.", ""),
        "model": ("Which model?", "The model file that answers (.gguf).", "Path of the file"),
        "memory": (
            "Memory",
            "How much of this computer's memory the program may use. More memory makes answers faster.",
            "Enter: most of what is free at each start, now {suggested}",
        ),
        "others": (
            "Do others use this computer?",
            "If they do, a hidden screen locks as soon as no answer is being written.",
            "y or n",
        ),
        "pin": (
            "A PIN, if you like",
            "F12 or Ctrl+L hides the screen. 4 to 8 digits bring it back; without a PIN the passphrase does.",
            "4 to 8 digits, or Enter for none",
        ),
        "words": (
            "Write these words on paper",
            "They open your chats if you forget the passphrase. They are shown only now, and anyone who has them can "
            "read your chats.",
            "Enter when they are written down",
        ),
        "check": ("Word {number}?", "One of the words that you wrote down.", "Word {number}"),
    },
    keys="Enter: next · Ctrl+Q: quit",
    keys_passphrase="Enter: next · F5: other words · F6: show text · Ctrl+N: unsaved · Ctrl+Q: quit",
    keys_check="Enter: next · Esc: show the words again · Ctrl+Q: quit",
    suggestion="Five random words:  {words}",
    differs="This is not the same passphrase. Type the passphrase again.",
    too_weak="Too weak. Use at least 12 characters with letters, for example five random words.",
    not_a_size="This is not a size of memory. Type for example 12GiB.",
    not_yes_or_no="Type y or n.",
    not_a_pin="A PIN has 4 to 8 digits, not one digit repeated.",
    wrong_word="This is not word {number}. Esc shows the words again.",
    making="Making the vault, a few seconds",
    yes=("y", "yes"),
    no=("n", "no"),
    unlock=("Your chats are locked", "", "Passphrase, or the 24 recovery words"),
    unlock_keys="Enter: open · F6: show text · Ctrl+N: unsaved chat · Ctrl+Q: quit",
    opening="Opening, a few seconds",
    wrong_passphrase="This does not open the vault. Check capital letters, the keyboard and the input method.",
    vault_busy="Your chats are open in another window of this program. Close it there, then press Enter.",
    vault_damaged="The vault is damaged or not complete. `edgemed vault restore` brings back a backup.",
    vault_error="The vault could not be opened.",
    kept="Kept on this computer, encrypted. These are your notes: the chart is the record. Ctrl+O: chats · F12: hide",
    unsaved_header="UNSAVED CHAT: no text of it is kept",
    behind="The disk is slow: the last {seconds} s of the answer are not saved yet.",
    not_saved="Not saved: {error}",
    not_recorded="Not recorded in the audit: {error}",
    audit="Head: {head} · Written down, it shows later whether rows are missing or were changed: edgemed audit --help",
    stale="Untouched for 30 days: {count}. Ctrl+O, then F8, deletes them.",
    engine_elsewhere="An answer in another chat is still being written. Yours comes next.",
    unsaved_kept="Unsaved chat. No text of it is kept, only when it was used; Ctrl+N starts one that is kept.",
    find="Find a chat, or a word in it",
    rename="New title",
    move="Case to move it to, or the name of a new one",
    list_keys="Enter: open · Ctrl+T: pin · Ctrl+E: rename · Ctrl+G: case · Del: delete · Esc",
    stale_keys="Untouched for 30 days: {count} · F8 deletes them",
    input_keys="Enter: save · Esc: back",
    nothing_found="Nothing found.",
    new_case="New case: {title}",
    without_case="No case",
    untitled="(empty chat)",
    deleted="deleted",
    pinned="pinned",
    running="being answered",
    interrupted_mark="interrupted",
    all_of_it="all chats",
    draft="draft",
    yesterday="yesterday {time}",
    erased="Del brings it back. Erased in a week; backups and the disk may still hold it.",
    hidden="Hidden",
    pin_placeholder="PIN",
    passphrase_placeholder="Passphrase",
    no_secret="Enter shows the chat",
    hidden_answering="The answer is still being written.",
    hidden_done="The answer is complete.",
    hidden_keys="Enter: show · F12: lock",
    wrong_pin="Wrong. {left} more, then the chat locks.",
    locking="Locking",
    pin_asked=("PIN of the hidden screen", "4 to 8 digits. Empty: no PIN, the passphrase shows the chat.", "New PIN"),
    pin_keys="Enter: save · F6: show text · Esc: back",
    pin_set="The PIN is set.",
    hides_after="The screen hides after {minutes} min without a key.",
    pin_removed="There is no PIN any more. The passphrase shows a hidden screen.",
)

CHINESE = VaultStrings(
    steps={
        "passphrase": (
            "为您的对话设置口令",
            "对话加密保存在本机，只有此口令能打开，任何人都无法重置。这里是您的笔记，病历仍以病历系统为准。",
            "按 Enter 采用上面的词，或自行输入",
        ),
        "repeat": ("再输入一次", "输入同一口令，以免手误把自己锁在外面。", ""),
        "model": ("使用哪个模型？", "用于回答的模型文件（.gguf）。", "文件路径"),
        "memory": (
            "内存",
            "本程序可以使用这台电脑的多少内存。内存越多，回答越快。",
            "按 Enter：每次启动时使用大部分空闲内存，目前为 {suggested}",
        ),
        "others": ("这台电脑还有别人使用吗？", "如有，屏幕隐藏后，一旦没有正在生成的回答就会锁定。", "y 或 n"),
        "pin": (
            "可以设一个 PIN",
            "F12 或 Ctrl+L 隐藏屏幕。输入 4 至 8 位数字即可恢复；没有 PIN 时用口令。",
            "4 至 8 位数字，不设则按 Enter",
        ),
        "words": (
            "请把这些词写在纸上",
            "忘记口令时，用它们打开对话。只显示这一次；任何拿到的人都能读您的对话。",
            "写好后按 Enter",
        ),
        "check": ("第 {number} 个词？", "您写下的词中的一个。", "第 {number} 个词"),
    },
    keys="Enter：下一步 · Ctrl+Q：退出",
    keys_passphrase="Enter：下一步 · F5：换一组词 · F6：显示输入 · Ctrl+N：不保存的对话 · Ctrl+Q：退出",
    keys_check="Enter：下一步 · Esc：再看这些词 · Ctrl+Q：退出",
    suggestion="五个随机词：  {words}",
    differs="两次口令不同。请重新输入口令。",
    too_weak="太容易被猜到。请至少用 12 个字符（汉字算两个）并含文字，例如五个随机词。",
    not_a_size="这不是内存大小。例如可输入 12GiB。",
    not_yes_or_no="请输入 y 或 n。",
    not_a_pin="PIN 为 4 至 8 位数字，且不能全部相同。",
    wrong_word="这不是第 {number} 个词。按 Esc 可再看这些词。",
    making="正在建立保险库，需几秒钟",
    yes=("y", "yes", "是"),
    no=("n", "no", "否"),
    unlock=("您的对话已锁定", "", "口令，或 24 个恢复词"),
    unlock_keys="Enter：打开 · F6：显示输入 · Ctrl+N：不保存的对话 · Ctrl+Q：退出",
    opening="正在打开，需几秒钟",
    wrong_passphrase="无法打开。请检查大小写、键盘布局和输入法。",
    vault_busy="您的对话已在本程序的另一个窗口中打开。请先在那里关闭，再按 Enter。",
    vault_damaged="保险库已损坏或不完整。可用 `edgemed vault restore` 恢复备份。",
    vault_error="无法打开保险库。",
    kept="加密保存在本机。这是您的笔记，病历以病历系统为准。Ctrl+O：对话列表 · F12：隐藏",
    unsaved_header="不保存的对话：不留下任何文字",
    behind="磁盘较慢：回答的最后 {seconds} 秒尚未保存。",
    not_saved="未能保存：{error}",
    not_recorded="未能写入审计记录：{error}",
    audit="链首值：{head} · 抄录下来，日后可查出记录是否缺失或被改动：edgemed audit --help",
    stale="{count} 个病例 30 天未动。按 Ctrl+O 再按 F8 可删除。",
    engine_elsewhere="另一个对话的回答仍在生成，您的问题排在其后。",
    unsaved_kept="不保存的对话，不留下任何文字，只记录使用时间；Ctrl+N 开始保存的对话。",
    find="查找对话，或其中的文字",
    rename="新标题",
    move="移到哪个病例，或新病例的名称",
    list_keys="Enter：打开 · Ctrl+T：置顶 · Ctrl+E：改名 · Ctrl+G：病例 · Del：删除 · Esc",
    stale_keys="{count} 个病例 30 天未动 · F8 全部删除",
    input_keys="Enter：保存 · Esc：返回",
    nothing_found="未找到。",
    new_case="新病例：{title}",
    without_case="无病例",
    untitled="（空对话）",
    deleted="已删除",
    pinned="置顶",
    running="正在回答",
    interrupted_mark="已中断",
    all_of_it="全部对话",
    draft="草稿",
    yesterday="昨天 {time}",
    erased="再按 Del 恢复。一周后从保险库清除；备份和磁盘本身可能仍留有内容。",
    hidden="已隐藏",
    pin_placeholder="PIN",
    passphrase_placeholder="口令",
    no_secret="按 Enter 显示对话",
    hidden_answering="回答仍在生成。",
    hidden_done="回答已完成。",
    hidden_keys="Enter：显示 · F12：锁定",
    wrong_pin="不正确。再错 {left} 次即锁定。",
    locking="正在锁定",
    pin_asked=("隐藏屏幕的 PIN", "4 至 8 位数字。留空则不设 PIN，用口令恢复显示。", "新 PIN"),
    pin_keys="Enter：保存 · F6：显示输入 · Esc：返回",
    pin_set="已设置 PIN。",
    hides_after="无按键 {minutes} 分钟后隐藏屏幕。",
    pin_removed="已取消 PIN。隐藏后用口令恢复。",
)

_BY_LANGUAGE: dict[Language, VaultStrings] = {"en": ENGLISH, "zh-CN": CHINESE}


def vault_strings(language: Language) -> VaultStrings:
    """The sentences in `language`."""
    return _BY_LANGUAGE[language]
