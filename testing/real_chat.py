"""The real chat, `edgemed chat MODEL`, on a real terminal: driven, recorded, and seen as its processes."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pyte

from edgemed.privacy.fork import WAITER
from testing.pseudo_terminal import PseudoTerminal

COLUMNS, LINES = 100, 30
ENTER, ESCAPE, DELETE = "\r", "\x1b", "\x1b[3~"
F2, F4, F5, F9, F12 = "\x1bOQ", "\x1bOS", "\x1b[15~", "\x1b[20~", "\x1b[24~"
CTRL_E, CTRL_N, CTRL_O, CTRL_Q, CTRL_Z = "\x05", "\x0e", "\x0f", "\x11", "\x1a"
PASSPHRASE = "correct horse battery staple"
_UNKNOWN_TO_PYTE = re.compile(r"\x1b\[[<>=?][0-9;]*u|\x1b\[[0-9;?]*\$p")

PROGRAM = """
import sys
from edgemed.cli import main
sys.exit(main({words!r}))
"""


@dataclass(frozen=True)
class Place:
    """The folders of one user, and the variables that lead a program there."""

    home: Path

    @property
    def vault(self) -> Path:
        return self.home / "data" / "edgemed" / "vault"

    @property
    def environment(self) -> dict[str, str]:
        names = {"XDG_DATA_HOME": "data", "XDG_CONFIG_HOME": "config", "XDG_CACHE_HOME": "cache", "TMPDIR": "tmp"}
        for name in names.values():
            (self.home / name).mkdir(parents=True, exist_ok=True)
        remote = dict.fromkeys(("SSH_CONNECTION", "SSH_TTY", "MOSH_CONNECTION"), "")
        return {"HOME": str(self.home), **{name: str(self.home / at) for name, at in names.items()}, **remote}

    def remember(self, **settings: object) -> None:
        """Write settings, as an earlier start would have done."""
        path = self.home / "config" / "edgemed" / "settings.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(settings))
        path.chmod(0o600)


class RealChat(PseudoTerminal):
    """The chat as a doctor starts it. Everything that it writes is recorded with its time."""

    def __init__(self, place: Place, model: Path, *words: str, code: str = PROGRAM, **environment: str) -> None:
        self.record: list[tuple[float, str]] = []
        self._screen = pyte.Screen(COLUMNS, LINES)
        self._stream = pyte.Stream(self._screen)
        self._fed = 0
        command = ["chat", str(model), "--threads", "1", "--language", "en", *words]
        super().__init__(
            code.format(words=command),
            columns=COLUMNS,
            lines=LINES,
            environment={**place.environment, **environment},
        )

    @property
    def supervisor(self) -> int:
        return self._process.pid

    @property
    def ended(self) -> bool:
        return self._process.poll() is not None

    def _read(self, seconds: float) -> bool:
        before = len(self.output)
        going = super()._read(seconds)
        if len(self.output) > before:
            self.record.append((time.monotonic(), self.output[before:]))
        return going

    # --- what is shown ---

    def shown(self) -> str:
        """The text on the terminal now, of what has been read."""
        for _, data in self.record[self._fed :]:
            self._stream.feed(_UNKNOWN_TO_PYTE.sub("", data))
        self._fed = len(self.record)
        return text_of(self._screen)

    def shown_at(self, moment: float) -> str:
        """The text on the terminal at an earlier moment."""
        screen = pyte.Screen(COLUMNS, LINES)
        stream = pyte.Stream(screen)
        for at, data in self.record:
            if at <= moment:
                stream.feed(_UNKNOWN_TO_PYTE.sub("", data))
        return text_of(screen)

    def until(self, *texts: str, gone: str = "", seconds: float = 30.0) -> str:
        """Read until the screen shows all of `texts` and not `gone`; return it."""

        def there() -> bool:
            shown = self.shown()
            return all(text in shown for text in texts) and not (gone and gone in shown)

        self.read_until(there, seconds, f"{texts}, {gone!r} gone")
        return self.shown()

    def read_until(self, done: Callable[[], bool], seconds: float = 30.0, what: str = "") -> None:
        """Read until `done` is true twice, since a screen may be half drawn. Fails if the program ends first."""
        limit, times = time.monotonic() + seconds, 0
        while (times := times + 1 if done() else 0) < 2:
            assert time.monotonic() < limit, f"waited in vain for {what}; the screen was:\n{self.shown()}"
            assert self._read(0.1) or done(), f"the program ended before {what}; the screen was:\n{self.shown()}"

    def read_for(self, seconds: float) -> None:
        """Read for a time, or until the program ends."""
        limit = time.monotonic() + seconds
        while (left := limit - time.monotonic()) > 0 and self._read(min(left, 0.05)):
            pass

    # --- what is done ---

    def unlock(self, passphrase: str = PASSPHRASE) -> None:
        self.until("24 recovery words")
        self.send(passphrase + ENTER)
        self.until("Type a question", gone="recovery words")

    def engine_ready(self) -> None:
        self.until("room left")

    def ask(self, question: str) -> None:
        self.type(question)
        self.send(ENTER)

    def answered(self) -> None:
        """Wait until no answer grows and no question waits."""

        def there() -> bool:
            shown = self.shown()
            busy = any(word in shown for word in ("Answering", "Reading your text", "Next:"))
            return "first word in" in shown and not busy

        self.read_for(1.0)
        while not there():
            self.read_until(there, what="the answers")
            self.read_for(0.5)  # a question that was waiting may come now

    def type(self, text: str) -> None:
        """Type as fast as the chat takes it, so that Enter does not come while a paste is suspected."""
        self.send(text)
        self.until(text[-12:].strip())

    # --- its processes ---

    def processes(self) -> dict[str, int]:
        """The chat's processes by part: supervisor, screen, desktop, engine, template. Waiters are `engine waits`."""
        found = {"supervisor": self.supervisor}
        for pid, parent in descendants(self.supervisor):
            with_part = part_of(pid, is_fork=parent == self.supervisor)
            if with_part:
                found[with_part] = pid
        return found


def text_of(screen: pyte.Screen) -> str:
    """The screen's lines. The second half of a wide character is an empty cell."""
    lines = (screen.buffer[y] for y in range(screen.lines))
    return "\n".join("".join(line[x].data for x in range(screen.columns)).rstrip() for line in lines)


def part_of(pid: int, *, is_fork: bool) -> str:
    """What a process of a chat does; empty if it has ended or has not become anything yet."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_text(errors="replace").split("\0")
        name = Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""
    parts = {"edgemed.desktop.helper": "desktop", "edgemed.engine.process.worker": "engine"}
    parts["edgemed.engine.process.template"] = "template"
    part = next((parts[word] for word in words if word in parts), "screen" if is_fork and "-c" in words else "")
    return f"{part} waits" if part and name == WAITER else part


def descendants(root: int) -> Iterator[tuple[int, int]]:
    """Each process below `root`, with its parent."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if fields[0] != "Z":
                children.setdefault(int(fields[1]), []).append(int(entry.name))
    waiting = [root]
    while waiting:
        parent = waiting.pop()
        for child in children.get(parent, ()):
            yield child, parent
            waiting.append(child)
