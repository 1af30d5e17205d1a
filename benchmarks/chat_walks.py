"""The steps of benchmarks.chat on a pseudo-terminal: what is typed, and how long the answer of the screen takes."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median, quantiles

from benchmarks.chat_vault import LAST, LONG, PASSPHRASE, PIN, RARE
from testing.processes import command, cpu_seconds, descendants
from testing.pseudo_terminal import PseudoTerminal

QUESTION = "What are the stages of adult acute lymphoblastic leukemia?"
COLUMNS, LINES = 120, 40

F2, F12, CTRL_N, CTRL_O, CTRL_U = "\x1bOQ", "\x1b[24~", "\x0e", "\x0f", "\x15"
ENTER, ESCAPE = "\r", "\x1b"
CLEARED = "\x1b[2J"
PASTED = "\x1b[200~", "\x1b[201~"

GAP_SECONDS = 0.12
"""Between two keys: a fast typist's."""
LOOK_SECONDS = 0.3
BUSY = 0.1
"""The share of a core from which the engine counts as answering."""
KEYS = [chr(code) for code in (*range(0x400, 0x480), *range(0x531, 0x557), *range(0x561, 0x587))]
"""Letters that no model writes here, so that each is on the screen only because it was typed."""
MOST_TYPED = 80
MOST_ASKED = 400


class Walk:
    """A program on a terminal, with the process that draws and the one that computes."""

    begin_seconds = 5.0
    """How long an answer may take to begin."""

    def __init__(self, code: str, environment: dict[str, str]) -> None:
        self.terminal = PseudoTerminal(code, columns=COLUMNS, lines=LINES, environment=environment)
        self.key_seconds: list[float] = []
        self._typed = 0

    @property
    def screen(self) -> int:
        """The process that draws: a fork of the program, or the program."""
        root = self.terminal.pid
        forks = [pid for pid in descendants(root) if command(pid) == command(root)]
        return forks[0] if forks else root

    @property
    def engine(self) -> int:
        """The process that computes: the last of the engine's, because its first one only waits."""
        for _ in range(100):
            if workers := [pid for pid in descendants(self.terminal.pid) if "process.worker" in command(pid)]:
                return workers[-1]
            self.terminal.read_for(0.1)
        raise AssertionError(f"the engine does not run; output:\n{self.terminal.output[-3000:]}")

    def seconds(self, typed: str, shown: str, limit: float = 20) -> float:
        """From typing to the text on the screen. Raises AssertionError after `limit`."""
        self.terminal.send(typed)
        found = self.terminal.seconds_until(shown, limit)
        assert found is not None, f"no {shown!r} after {typed!r}; output:\n{self.terminal.output[-3000:]}"
        return found

    def ask(self) -> bool:
        """Ask in the chat that is shown, and wait until the engine computes.

        False if it was not seen to: some answers of the demonstration end between two looks.
        """
        self.seconds(QUESTION, QUESTION[-8:])
        self._typed = 0
        engine = self.engine
        self.terminal.send(ENTER)
        until = time.monotonic() + self.begin_seconds
        while time.monotonic() < until:
            before = cpu_seconds(engine)
            self.terminal.read_for(0.1)
            if cpu_seconds(engine) - before > 0.1 * BUSY:
                return True
        return False

    def type_while_answering(self, most: int, limit: float = 10) -> int:
        """Type up to `most` keys, one after another, while the engine answers, and note how long each took to appear.

        Returns their number. A key that does not appear within `limit` counts as that long.
        """
        engine, counted = self.engine, 0
        while counted < most:
            key = KEYS[self._typed % len(KEYS)]
            used, began = cpu_seconds(engine), time.monotonic()
            self.terminal.send(key)
            taken = self.terminal.seconds_until(key, limit)
            self.terminal.read_for(GAP_SECONDS)
            if cpu_seconds(engine) - used < BUSY * (time.monotonic() - began):
                break
            self._typed += 1
            counted += 1
            self.key_seconds.append(limit if taken is None else taken)
            if self._typed % MOST_TYPED == 0:
                self.clear()
        return counted

    def stop(self) -> None:
        """Stop the answer, if the program can."""

    def clear(self) -> None:
        """Empty the box."""
        self.terminal.send(CTRL_U)
        self.terminal.read_for(0.3)

    def until_the_end(self, most_seconds: float = 60) -> Iterator[None]:
        """Read until the engine has nothing more to do; yields while it computes."""
        engine, until, idle = self.engine, time.monotonic() + most_seconds, 0
        while idle < 2 and time.monotonic() < until:
            before = cpu_seconds(engine)
            self.terminal.read_for(LOOK_SECONDS)
            idle = idle + 1 if cpu_seconds(engine) - before < LOOK_SECONDS * BUSY else 0
            if not idle:
                yield

    def share_of_core(self) -> tuple[float, float]:
        """(processor seconds of the screen, seconds) until the answer ends."""
        screen = self.screen
        first = last = time.monotonic(), cpu_seconds(screen)
        for _ in self.until_the_end():
            last = time.monotonic(), cpu_seconds(screen)
        return last[1] - first[1], last[0] - first[0]


def p95(seconds: list[float]) -> float:
    """The 95th percentile, in milliseconds."""
    return round(1000 * quantiles(seconds, n=20)[-1], 1)


def middle(seconds: list[float]) -> float:
    return round(1000 * median(seconds), 1)


class Ours(Walk):
    """`edgemed chat MODEL` on the vault."""

    def __init__(self, model: Path, environment: dict[str, str], context: int) -> None:
        program = str(Path(sys.executable).with_name("edgemed"))
        binary = [program, "chat", str(model), "--language", "en", "--ctx", str(context)]
        super().__init__(f"import os; os.execv({binary[0]!r}, {binary!r})", environment)
        self.terminal.wait_for("Your chats are locked")

    def unlock(self) -> float:
        """From Enter after the passphrase until a key typed in the chat is on the screen."""
        self.terminal.send(PASSPHRASE)
        self.terminal.settle()
        taken = self.seconds(ENTER, LAST)
        taken += self.seconds(KEYS[0], KEYS[0])
        self.terminal.seconds_until("room left")
        self.clear()
        self.terminal.read_for(3)  # the texts to search are read, and the vault is checked
        return taken

    def lock(self) -> None:
        """Lock as the second F12 does."""
        self.terminal.send(F12)
        self.terminal.settle()
        self.seconds(F12, "Your chats are locked")
        self.terminal.settle()

    def stop(self) -> None:
        self.terminal.send(ESCAPE)

    def new_chat(self) -> None:
        self.clear()
        self.seconds(CTRL_N, "For example:")
        self.terminal.settle()
        self.clear()  # after a chat whose context is full, the box has the case

    def open_long(self) -> float:
        """From Enter in the list of chats until the long chat's last answer and a key typed then are on the screen."""
        self.seconds(CTRL_O, "Enter: open")
        self.seconds(LONG[:5], LONG)
        self.terminal.read_for(1)
        key, self._typed = KEYS[self._typed % len(KEYS)], self._typed + 1
        return self.seconds(ENTER, LAST) + self.seconds(key, key)

    def search(self) -> float:
        """From a word typed in the list until the passage that has it is on the screen."""
        self.seconds(CTRL_O, "Enter: open")
        self.terminal.read_for(0.5)
        taken = self.seconds(RARE, "17 mg once")
        self.terminal.send(ESCAPE)
        self.terminal.read_for(1)
        self.terminal.send(ESCAPE)
        self.terminal.read_for(1)
        return taken

    def hide(self) -> float:
        """From F12 to the blank screen. Shows the chat again."""
        taken = self.seconds(F12, CLEARED)
        self.terminal.settle()
        self.terminal.send(PIN + ENTER)
        self.terminal.read_for(2)
        return taken

    def hide_in_paste(self, size: int) -> float:
        """The same in the middle of a paste. The chat stays hidden."""
        text = "Lactate 3.4 mmol/l, K 6.2. " * (size // 27)
        self.terminal.send_all(PASTED[0] + text[: size // 2])
        taken = self.seconds(F12, CLEARED)
        self.terminal.send_all(text[size // 2 :] + PASTED[1])
        return taken


class Tutorial(Walk):
    """The tutorial's app, on the same model."""

    begin_seconds = 60.0  # it may be behind with the last answer

    def __init__(self, model: Path, environment: dict[str, str], context: int, messages: Path) -> None:
        arguments = str(model), context, str(messages)
        code = f"from benchmarks.tutorial_app import open_tutorial; open_tutorial{arguments!r}"
        super().__init__(code, environment)
        self.terminal.wait_for("Ask me anything")

    def new_chat(self) -> None:
        self.clear()
        self.terminal.send(CTRL_N)
        self.terminal.read_for(0.5)

    def open_long(self, limit: float) -> float | None:
        """From the key to the last message; None after `limit`."""
        self.terminal.send(F2)
        return self.terminal.seconds_until(LAST, limit)


def answers(walk: Walk, new_chat: Callable[[], None]) -> Iterator[None]:
    """Ask in a new chat, again and again; each time the engine has begun to answer. Raises AssertionError."""
    for _ in range(MOST_ASKED):
        new_chat()
        if walk.ask():
            yield
        walk.stop()
        for _ in walk.until_the_end():
            pass
    raise AssertionError("the engine answers too seldom")
