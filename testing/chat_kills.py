"""kill -9 of one of the chat's processes while a doctor works, and what of it is in the vault afterwards.

The doctor types without looking: questions, drafts, titles, deletions, hiding. What the terminal showed a second before
the kill, as its recording tells, must be in the vault, and a growing answer must be there as interrupted.
"""

from __future__ import annotations

import itertools
import os
import random
import re
import signal
import termios
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgemed.chat.conversation import Conversation
from edgemed.chat.visible import visible
from edgemed.vault.folder import unlock
from edgemed.vault.store import Store
from testing.real_chat import (
    CTRL_E,
    CTRL_N,
    CTRL_O,
    CTRL_Q,
    DELETE,
    ENTER,
    ESCAPE,
    F2,
    F5,
    F12,
    PASSPHRASE,
    Place,
    RealChat,
)

TARGETS = ("screen", "supervisor", "engine", "engine waits", "template", "desktop", "desktop waits")
ENDING = ("screen", "supervisor")
"""The chat ends with these."""
LONGEST = 16.0
"""Seconds after the start within which the kill comes."""
PROMISED = 1.0
_SYLLABLES = ("ba", "de", "fi", "go", "ku", "la", "me", "ni", "po", "ru", "sa", "te", "vi", "wo", "xu")
_ACTIONS = ("ask", "ask", "ask", "draft", "draft", "rename", "delete", "new", "hide", "again", "copy")
_INTERFACE = re.compile(
    r"^ (You|edgemed \w{8}) · \d\d:\d\d|^ (OFFLINE|DEMONSTRATION MODEL|Model:|Kept on this computer|F12: hide|room left"
    r"|The conversation has \d|shorten the text|numbers not from your text|not given: |Text match|NEWS2|and \d+ more \("
    r"|Answering\.|Reading your text|Loading the model|Stopping|For example:|Esc:|Next: |brief answer|full answer)"
    r"|^▌ "  # a short notice; the box's own text follows its bar at once
    r"|^▌Type a question|F1 help$|CUT OFF|N: new chat|missed\?$|mL/min\?$|plain words: \.\.\.$|DEMONSTRATION$"
)

_IN_FRONT = ("Enter: open", "Enter: save", "Enter: show", "F6: show text", "The disk", "Copy it anyway")
"""Signs of a screen or a question that stands in front of the conversation."""


@dataclass
class Outcome:
    """What one kill did. `faults` is empty if all was as promised."""

    target: str
    after: float = 0.0
    """Seconds from the start of the program to the kill."""
    compared: int = 0
    """Characters that were on the screen a second before and are in the vault."""
    interrupted: bool = False
    faults: list[str] = field(default_factory=list)
    shown: str = ""


def kill_one(place: Place, model: Path, target: str, seed: int) -> Outcome | None:
    """Start the chat on the vault of `place`, kill `target` at a random moment, and compare. None if no such process
    was there."""
    chance, outcome = random.Random(seed), Outcome(target)
    with RealChat(place, model) as chat:
        before = termios.tcgetattr(chat._master)
        began = time.monotonic()
        killer = Killer(chat, target, began + chance.uniform(0.5, LONGEST))
        killer.start()
        for _ in doctor(chat, chance):
            if killer.done.is_set() or chat.ended:
                break
        killer.join()
        if killer.at is None:
            return None
        outcome.after = killer.at - began
        outcome.shown = chat.shown_at(calm(chat, killer.at - PROMISED))
        last = chat.shown_at(killer.at)
        if target in ENDING:
            ends(chat, outcome, before)
        else:
            goes_on(chat, outcome)
    compare(place, outcome, answering="Answering." in outcome.shown and "Answering." in last)
    return outcome


class Killer(threading.Thread):
    """Kills the process at the given moment, or as soon after it as there is one."""

    def __init__(self, chat: RealChat, target: str, moment: float) -> None:
        super().__init__(daemon=True)
        self._chat, self._target, self._moment = chat, target, moment
        self.at: float | None = None
        self.done = threading.Event()

    def run(self) -> None:
        time.sleep(max(0.0, self._moment - time.monotonic()))
        limit = self._moment + 10
        while time.monotonic() < limit and self.at is None:
            pid = self._chat.processes().get(self._target)
            if pid is None:
                time.sleep(0.002)
                continue
            try:
                os.kill(pid, signal.SIGKILL)
                self.at = time.monotonic()
            except ProcessLookupError:
                pass
        self.done.set()


def doctor(chat: RealChat, chance: random.Random) -> Iterator[None]:
    """Works until nobody asks for more. Each step reads for a while what the chat writes."""
    while "recovery words" not in chat.shown():
        chat.read_for(0.1)
        yield
    yield from keys(chat, PASSPHRASE + ENTER, 1.0)
    while "Type a question" not in chat.shown():
        chat.read_for(0.1)
        yield
    while True:
        match chance.choice(
            ("ask", "ask", "ask", "draft", "draft", "rename", "delete", "new", "hide", "again", "copy")
        ):
            case "ask":
                yield from keys(chat, words(chance, 6), 0.3)
                yield from keys(chat, ENTER, chance.uniform(0.5, 3))
                if chance.random() < 0.3:
                    yield from keys(chat, ESCAPE, 0.4)
            case "draft":
                for _ in range(4):
                    yield from keys(chat, words(chance, 2), chance.uniform(0.05, 0.5))
            case "rename":
                yield from keys(chat, CTRL_O, 0.7)
                yield from keys(chat, CTRL_E, 0.3)
                yield from keys(chat, words(chance, 2), 0.1)
                yield from keys(chat, ENTER, 0.4)
                yield from keys(chat, ESCAPE, 0.4)
            case "delete":
                yield from keys(chat, CTRL_O, 0.7)
                yield from keys(chat, DELETE * chance.randint(1, 2), 0.4)
                yield from keys(chat, ESCAPE, 0.4)
            case "new":
                yield from keys(chat, CTRL_N, 0.3)
            case "hide":
                yield from keys(chat, F12, 0.7)
                yield from keys(chat, PASSPHRASE + ENTER, 1.0)
            case "again":
                yield from keys(chat, F5, chance.uniform(0.3, 2))
            case "copy":
                yield from keys(chat, F2, 0.3)


def keys(chat: RealChat, typed: str, pause: float) -> Iterator[None]:
    try:
        chat.send(typed)
    except OSError:  # the terminal is closed
        return
    limit = time.monotonic() + pause
    yield
    while time.monotonic() < limit:
        chat.read_for(0.05)
        yield


def words(chance: random.Random, count: int) -> str:
    """Words that no other text has, in English letters and Chinese."""
    made = ("".join(chance.choices(_SYLLABLES, k=4)) for _ in range(count))
    return " ".join(made) + " " + "".join(chance.choices("胸痛发热咳嗽肺炎肾病骨折", k=4)) + " "


def calm(chat: RealChat, moment: float) -> float:
    """A moment not long before this one at which no frame was half written."""
    times = [at for at, _ in chat.record]
    gaps = [at for at, after in itertools.pairwise(times) if after - at > 0.015 and at <= moment]
    return gaps[-1] if gaps else 0.0


def ends(chat: RealChat, outcome: Outcome, before: list[Any]) -> None:
    """The chat ends; after its screen was killed, with one sentence, and with the terminal as it was."""
    status = chat.status()
    left = chat.output.rpartition("\x1b[?1049l")[2]
    if outcome.target == "supervisor":
        return  # nobody is left to restore anything
    if status != 128 + signal.SIGKILL:
        outcome.faults.append(f"status {status}")
    if termios.tcgetattr(chat._master) != before:
        outcome.faults.append("the terminal's settings are not as before")
    if "edgemed: The chat was ended by SIGKILL" not in left or left.count("\n") != 1:
        outcome.faults.append(f"said {left!r}")


def goes_on(chat: RealChat, outcome: Outcome) -> None:
    """The chat goes on without this process, answers a question, and ends as always."""
    chat.read_for(2.0)
    if ended(chat, outcome):
        return
    if "Traceback" in chat.output:
        outcome.faults.append(f"a traceback: {chat.output.partition('Traceback')[2][:3000]!r}")
    for _ in range(9):  # through the door, out of any page, list or hidden screen
        shown = chat.shown()
        if "Enter: show" in shown or "recovery words" in shown:
            chat.send(PASSPHRASE + ENTER)
            chat.read_for(1.5)
        elif "F1 help" in shown:
            break
        else:
            chat.send(ESCAPE if "▌" in shown else "")
            chat.read_for(0.7)
    chat.send(CTRL_N)  # on the door it would open an unsaved chat
    chat.read_for(0.7)
    chat.send("still there? ")
    chat.read_for(0.3)
    chat.send(ENTER)
    limit = time.monotonic() + 20
    while not re.search(r"Answering\.|\d words · not verified|CUT OFF", chat.shown()):
        chat.read_for(0.2)
        if ended(chat, outcome):
            return
        if time.monotonic() > limit:
            outcome.faults.append(f"no answer afterwards; the screen:\n{chat.shown()}")
            break
    chat.send(CTRL_Q)
    try:
        if status := chat.status():
            outcome.faults.append(f"status {status}")
    except AssertionError:
        outcome.faults.append(f"does not quit; the screen:\n{chat.shown()}")


def ended(chat: RealChat, outcome: Outcome) -> bool:
    """Whether the chat has ended. Only an engine that dies before it ever ran may end it, with one sentence."""
    if not chat.ended:
        return False
    left = chat.output.rpartition("\x1b[?1049l")[2]
    if "room left" in chat.output or not re.match(r"(\x1b\S*)*edgemed: The model stopped[^\n]*\n", left):
        outcome.faults.append(f"the chat ended: {left!r}")
    return True


def compare(place: Place, outcome: Outcome, *, answering: bool) -> None:
    """Open the vault as the next start does, and look for what was shown."""
    vault = unlock(place.vault, PASSPHRASE)
    try:
        vault.check().result()
        chats, titles = vault.do(everything).result()
    finally:
        vault.close()
    turns = [turn for chat in chats for turn in chat.all_turns]
    if [turn for turn in turns if turn.state == "open"]:
        outcome.faults.append("an answer is still open")
    cut = [(chat, turn) for chat in chats for turn in chat.all_turns if turn.state == "interrupted"]
    outcome.interrupted = bool(cut)
    if answering and outcome.target in ENDING and not cut:
        outcome.faults.append("no answer is marked as interrupted")
    for chat, turn in cut:
        chat.show(turn)
        if turn.raw and not chat.resumable(turn):
            outcome.faults.append("an interrupted answer cannot be resumed")
    texts = [*titles, *(text for turn in turns for text in (turn.question, turn.text))]
    texts += [text for chat in chats for text in (chat.title, chat.draft, *(queued.text for queued in chat.queued))]
    kept = "\n".join(letters(visible(text)) for text in texts)
    if outcome.target not in ENDING or ("Enter: send" not in outcome.shown and "▌" not in outcome.shown):
        return
    if any(sign in outcome.shown for sign in _IN_FRONT):
        return
    for line in outcome.shown.splitlines()[3:]:
        if not _INTERFACE.search(line) and (text := letters(line)):
            outcome.compared += len(text)
            if text not in kept:
                outcome.faults.append(f"lost: {line!r}")


def everything(store: Store) -> tuple[list[Conversation], list[str]]:
    rows = [row for deleted in (False, True) for row in store.chats(deleted=deleted)]
    return [store.load(row.id) for row in rows], [row.title for row in rows]


def letters(text: str) -> str:
    """Letters and digits only: neither wrapping nor markup."""
    return "".join(filter(str.isalnum, text))
