"""What a user should know about an open vault, in both languages: low disk, an older copy, files open to others."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Literal

from edgemed.clinical.language import Language
from edgemed.sizes import format_size

Notice = Literal["older copy", "open to others"]

LOW_BYTES = 256 << 20
"""Free bytes below which a warning is due. A long day of chats is a few MiB; other programs fill a disk faster."""

_NOTICES: dict[Language, dict[Notice, str]] = {
    "en": {
        "older copy": "This vault is older than the one that was opened here last: an older copy was put back, and "
        "what was written after it was made is missing.",
        "open to others": "Other users of this computer can list or replace the vault's files, and this disk does not "
        "allow to change that; they cannot read its texts.",
    },
    "zh-CN": {
        "older copy": "此保险库比上次在本机打开的版本旧：可能被换成了旧副本，其后写入的内容缺失。",
        "open to others": "本机其他用户可以列出或替换保险库的文件，而此磁盘无法更改权限；他们无法读取其中的文字。",
    },
}
_LOW: dict[Language, str] = {
    "en": "Only {free} are free on the disk with the vault; free some space, or new answers will not be kept.",
    "zh-CN": "保险库所在磁盘仅剩 {free}；请清理空间，否则新的回答将无法保存。",
}


def sentence(notice: Notice, language: Language = "en") -> str:
    return _NOTICES[language][notice]


def low_disk(folder: Path, language: Language = "en") -> str | None:
    """A warning if the disk with `folder` is nearly full. Call it now and then: before writing fails, not after."""
    try:
        free = shutil.disk_usage(folder).free
    except OSError:
        return None
    return _LOW[language].format(free=format_size(free)) if free < LOW_BYTES else None
