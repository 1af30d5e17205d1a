"""Why the model stopped, in the interface's language. The engine says it in English (`exit_reason`)."""

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


def reason_in(language: Language, sentence: str) -> str:
    """The sentence in `language` if it says why the model stopped; any other sentence as it is."""
    match = _STOPPED.fullmatch(sentence)
    if language == "en" or match is None:
        return sentence
    cause = match["cause"] or ""
    why = f"，{'很可能是因为' if match['likely'] else '因为'}{_CHINESE.get(cause, cause)}" if cause else ""
    return f"模型已停止{why}（{match['end']}）。"
