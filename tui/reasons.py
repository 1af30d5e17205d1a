"""What the engine and the vault say in English, in the interface's language."""

from __future__ import annotations

import re

from edgemed.clinical import Language

_STOPPED = re.compile(
    r"The model stopped(?P<likely>, most likely)?(?: because (?P<cause>.+?))? \((?P<end>[A-Zes].*)\)\."
)
_CHINESE = {
    "this computer ran out of memory; close other programs, or choose a smaller --ram": (
        "计算机内存不足；请关闭其他程序，或减小 --ram"
    ),
    "the GPU ran out of memory; offload fewer layers with --gpu, or close other programs that use it": (
        "显存不足；请用 --gpu 减少层数，或关闭其他使用显卡的程序"
    ),
    "of a fault in llama.cpp or in edgemed's native library": "llama.cpp 或 edgemed 的本地库出错",
    "its file became shorter or its disk failed; check the file with `edgemed verify`": (
        "模型文件变短或磁盘故障；请用 `edgemed verify` 检查文件"
    ),
    "this processor lacks an instruction that the installed llama.cpp uses; install it from source": (
        "处理器缺少已安装的 llama.cpp 所用的指令；请从源代码安装"
    ),
    "an internal check of llama.cpp failed": "llama.cpp 的内部检查失败",
    "another program ended it": "被其他程序结束",
}

_VAULT = (
    (r"The disk with (.+) is full; .*", "{0} 所在的磁盘已满；请释放空间后重试。"),
    (r"(.+) cannot be written, because the disk is full; .*", "{0} 无法写入，因为磁盘已满；请释放空间后重试。"),
    (r"(.+) is read-only; .*", "{0} 为只读；请使其所在磁盘、文件夹和文件可写后重试。"),
    (r"(.+) cannot be written; see .*", "{0} 无法写入；请检查磁盘空间和文件夹权限。"),
    (r"The disk with (.+) reports an error; .*", "{0} 所在的磁盘报告错误；请检查磁盘空间后重试。"),
    (r"Another program reads or writes (.+); .*", "另一个程序正在使用 {0}；请关闭该程序后重试。"),
    (r"(.+) is damaged, or does not belong to .*", "{0} 已损坏，或与旁边的 keys.json 不匹配；请恢复备份。"),
    (r"This chat is no longer in the vault; .*", "此对话已不在保险库中；请选择其他对话。"),
    (r"The vault is closed; .*", "保险库已关闭；请重新解锁。"),
)


def reason_in(language: Language, sentence: str) -> str:
    """The sentence in `language` if it says why the model stopped or the vault failed; any other one as it is."""
    if language == "en":
        return sentence
    for pattern, chinese in _VAULT:
        if told := re.fullmatch(pattern, sentence):
            return chinese.format(*told.groups())
    match = _STOPPED.fullmatch(sentence)
    if match is None:
        return sentence
    cause = match["cause"] or ""
    why = f"，{'很可能是因为' if match['likely'] else '因为'}{_CHINESE.get(cause, cause)}" if cause else ""
    return f"模型已停止{why}（{match['end']}）。"
