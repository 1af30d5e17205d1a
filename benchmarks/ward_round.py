"""A ward round in a real terminal (tmux): 8 fictitious patients, 90 turns, both languages; and keystrokes on 40 cases.

    python -m benchmarks.ward_round [--turns 90] [--json]

Runs `edgemed demo` with the real engine on the demonstration file, once in English and once in Chinese, with half of
the turns each; every step of STEPS is done in both. It counts keystrokes in `edgemed chat` on a vault of 40 cases: the
8 of the demonstration and 32 made here. The target was opened yesterday and is neither first nor last in the list; a
chord counts as one key, and so does a Chinese character. Ends with an error if a step or a count fails. The length and
slowness of a large model are tested on a scripted engine, in tests/tui/test_slow_engine.py.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from edgemed.chat.conversation import Conversation
from edgemed.commands._demo_patients import fill, patients
from edgemed.commands._demo_vault import COST, PASSPHRASE, PIN
from edgemed.vault.folder import create
from edgemed.vault.rows import Snapshot
from edgemed.vault.store import Store
from testing.tmux import Terminal

STEPS = (
    "open",
    "find",
    "switch",
    "ask",
    "again",
    "edit",
    "resume",
    "copy",
    "hide",
    "pin",
    "lock",
    "unlock",
    "rename",
    "pin-to-top",
    "move",
    "delete",
    "undo",
    "undo-send",
    "unsaved",
    "quit",
)
ALLOWED = {"switch case": 3, "copy": 1, "find yesterday's answer": 6}
BUSY = re.compile(r"Answering\.|Reading your|Loading|Stopping|正在|停止中")
CASES = ("R.T.", "M.O.", "34 weeks", "A.S.", "P.L.", "王某", "李某", "陈某")
QUESTIONS = {
    "en": ("What are the symptoms of asthma?", "What should I check today?", "Is there a treatment for anemia?"),
    "zh-CN": ("哮喘有哪些症状？", "今天应检查什么？", "What is the outlook for eczema?"),
}
LONG = "What are the stages of adult acute lymphoblastic leukemia?"
TAKEN_BACK = "A question that is taken back"
READY = {"en": "room left", "zh-CN": "剩余空间"}
LISTED = {"en": "Del: delete · Esc", "zh-CN": "Del：删除 · Esc"}
LONGEST_ANSWER = 4.0
EDGEMED = f"{sys.executable} -m edgemed.cli"


class Round:
    """One run of the program, and what was done in it."""

    def __init__(self, folder: Path, command: str, language: str) -> None:
        self.terminal = Terminal(folder, f"{EDGEMED} {command} --threads 2 --language {language}", columns=90, lines=30)
        self.terminal.tmux("set-option", "-s", "set-clipboard", "on")
        self._listed = LISTED[language]
        self.done: list[str] = []
        self.turns = 0
        self.keys = 0

    def press(self, *keys: str) -> None:
        self.keys += len(keys)
        self.terminal.press(*keys)

    def type(self, text: str) -> None:
        self.keys += len(text)
        self.terminal.type(text)

    def wait(self, *texts: str) -> str:
        return self.terminal.wait_for(*texts)

    def settled(self) -> str:
        """The screen once no answer is being written. A long answer is stopped."""
        began, last, since = time.monotonic(), "", time.monotonic()
        while time.monotonic() - since < 0.4:
            screen = self.terminal.screen()
            if screen != last or BUSY.search(screen):
                last, since = screen, time.monotonic()
            if BUSY.search(screen) and time.monotonic() - began > LONGEST_ANSWER:
                self.terminal.press("Escape")
                began = time.monotonic()
            time.sleep(0.05)
        return last

    def row(self, name: str) -> str:
        """The number of the first row of the list with `name` in it."""
        found = re.search(rf"^ *(\d+) .*{re.escape(name)}", self.wait(name), re.MULTILINE)
        assert found, self.terminal.screen()
        return found[1]

    def list_chats(self) -> None:
        self.press("C-o")
        self.wait(self._listed)

    def switch(self, name: str) -> None:
        """Open a case by the number of its row; those without a number by their name."""
        self.list_chats()
        listed = re.search(rf"^ *(\d+) .*{re.escape(name)}", self.terminal.screen(), re.MULTILINE)
        self.type(listed[1] if listed else name)
        self.wait(name)
        self.press("Enter")
        self.terminal.wait_for(name, gone=self._listed)

    def ask(self, question: str) -> None:
        """Ask. If the model has no room left, a new chat with the case takes the question."""
        for _ in range(8):  # a draft or a question that was put back
            if "Enter" in self.terminal.screen().splitlines()[-2]:
                break
            self.press("C-u", "BSpace")
            time.sleep(0.05)
        self.type(question)
        self.wait(question[-5:])
        self.press("Enter")
        time.sleep(0.2)
        screen = self.settled()
        if f"▌{question[:12]}" in "\n".join(screen.splitlines()[-2:]):
            self.press("C-u", "C-n")
            self.settled()
            self.press("C-u", "C-k")
        self.turns += 1

    def step(self, name: str) -> None:
        assert name in STEPS
        self.done.append(name)
        print(name, end=" ", file=sys.stderr, flush=True)


def walk(folder: Path, language: str, turns: int) -> Round:
    """Every step once, then questions to the eight patients in turn."""
    told, ask = Round(folder, "demo", language), QUESTIONS[language][0]
    here = told.terminal
    try:
        told.wait(PIN, "F1")
        told.settled()
        told.step("open")
        told.list_chats()
        told.type("K 6.2")
        told.wait("M.O.")
        told.press("Enter")
        told.wait("Trimethoprim")
        told.step("find")
        told.switch("R.T.")
        told.step("switch")
        told.ask(ask)
        told.wait(READY[language])
        told.step("ask")
        told.press("F5")
        told.settled()
        told.step("again")
        told.press("F4")
        told.settled()
        told.type(" Today?")
        told.press("Enter")
        told.settled()
        told.step("edit")
        told.type(LONG)
        told.press("Enter")
        time.sleep(0.5)
        told.press("Escape")
        told.settled()
        told.press("F6")
        told.settled()
        told.step("resume")
        told.press("F2")
        time.sleep(0.5)
        here.press("Enter")  # a cut answer asks first
        told.settled()
        here.press("Escape")
        told.press("F12")
        told.wait(PIN, "F12")
        told.step("hide")
        told.type(PIN)
        told.press("Enter")
        told.wait(READY[language])
        told.step("pin")
        told.press("F2")
        time.sleep(0.3)
        here.press("Escape")
        told.step("copy")
        told.press("F12")
        told.wait(PIN)
        told.press("F12")
        told.wait(PASSPHRASE.split()[0], "F6")
        told.step("lock")
        told.type(PASSPHRASE)
        told.press("Enter")
        told.wait("R.T.")
        told.settled()
        told.step("unlock")
        told.list_chats()
        told.type(told.row("J.K."))
        time.sleep(0.3)
        told.press("C-e")
        told.settled()
        told.type(" RENAMED")
        told.press("Enter")
        told.wait("RENAMED")
        told.step("rename")
        told.press("C-t")
        told.wait("pinned" if language == "en" else "置顶")
        told.step("pin-to-top")
        told.press("C-g")
        told.settled()
        told.type("Moved here")
        told.settled()
        told.press("Enter")
        told.wait("Moved here ·")
        told.step("move")
        told.press("DC")
        told.wait("deleted" if language == "en" else "已删除")
        told.step("delete")
        told.press("DC")
        told.settled()
        assert ("deleted" if language == "en" else "已删除") not in here.screen()
        told.step("undo")
        told.press("Escape")
        told.settled()
        told.switch("P.L.")
        for _ in range(5):  # the small model may have answered before the key arrives
            told.press("C-n")
            told.settled()
            told.type(f"{LONG}\r{TAKEN_BACK}\r")
            told.press("F8")
            told.settled()
            if f"▌{TAKEN_BACK}" in here.screen().splitlines()[-2]:
                break
        else:
            raise AssertionError(here.screen())
        told.press("C-u")
        told.step("undo-send")
        told.type("/unsaved")
        told.press("Enter")
        told.settled()
        told.ask(ask)
        told.step("unsaved")
        while told.turns < turns:
            told.switch(CASES[told.turns % len(CASES)])
            told.ask(QUESTIONS[language][told.turns % 3])
        told.press("C-q")
        told.settled()
        if "EXIT 0" not in here.screen():
            here.press("Enter")
        assert "Traceback" not in told.wait("EXIT 0")
        told.step("quit")
    finally:
        here.close()
    assert set(told.done) == set(STEPS), set(STEPS) - set(told.done)
    return told


def make_forty(folder: Path) -> None:
    """A vault of 40 cases: 3 of today, the 8 of the demonstration, 4 more of yesterday, and older ones."""
    vault, _ = create(folder, PASSPHRASE, cost=COST)

    def put(store: Store) -> None:
        fill(store, patients())
        now = time.time()
        ages = [600.0 * (i + 1) for i in range(3)] + [86_400 + 900 * i for i in range(1, 5)]
        ages += [86_400.0 * (2 + i) for i in range(25)]
        for number, age in enumerate(ages):
            then = Store(store.connection, lambda at=now - age: at)
            chat = Conversation(
                case_id=then.new_case(f"Case {number:02}, {40 + number} f"), title=f"Problem {number:02}"
            )
            turn = chat.ask(f"What about problem {number:02}?")
            turn.raw, turn.state = f"Take {number + 10} mg and look again in the morning.", "whole"
            then.keep(Snapshot.of(chat))

    vault.do(put).result()
    vault.close()


def keystrokes(folder: Path, model: Path) -> dict[str, int]:
    """Keys from the chat to a case, to yesterday's answer, and to its copy."""
    make_forty(folder / "edgemed" / "vault")
    hand = Round(folder, f"chat {model}", "en")
    counts = {}
    try:
        hand.wait("Your chats are locked")
        hand.type(PASSPHRASE)
        hand.press("Enter")
        hand.wait("Case 00")
        hand.settled()
        hand.keys = 0
        hand.list_chats()
        hand.type(hand.row("R.T."))
        hand.press("Enter")
        hand.wait("R.T., 67 m, ward 4 · Breathless")
        counts["switch case"] = hand.keys
        hand.settled()
        hand.keys = 0
        hand.list_chats()
        hand.type("trim")
        hand.press("Enter")
        hand.wait("M.O., 74 f, renal clinic", "Trimethoprim, started 4 days ago")
        counts["find yesterday's answer"] = hand.keys
        hand.settled()
        hand.keys = 0
        hand.press("F2")
        hand.settled()
        copied = hand.terminal.tmux("show-buffer")
        assert "trimethoprim" in copied, copied
        counts["copy"] = hand.keys
        hand.press("C-q")
        hand.wait("EXIT 0")
    finally:
        hand.terminal.close()
    return counts


def model_in(folder: Path) -> Path:
    """Convert the demonstration model into `folder`."""
    subprocess.run(
        [*EDGEMED.split(), "demo", "--threads", "2"],
        env={**os.environ, "XDG_CACHE_HOME": str(folder)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        check=True,
    )
    (model,) = (folder / "edgemed").glob("demo-*.gguf")
    return model


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=90, help="questions in both languages together")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        counts = keystrokes(folder, model_in(folder))
        walked = {language: walk(folder, language, args.turns // 2) for language in QUESTIONS}
    found = {
        "keystrokes": counts,
        "turns": sum(each.turns for each in walked.values()),
        "steps": {language: each.done for language, each in walked.items()},
    }
    if args.json:
        print(json.dumps(found, ensure_ascii=False))
    else:
        for name, count in counts.items():
            print(f"{name}: {count} (at most {ALLOWED[name]})")
        print(f"{found['turns']} turns, {len(STEPS)} steps in each language")
    return int(any(count > ALLOWED[name] for name, count in counts.items()))


if __name__ == "__main__":
    sys.exit(main())
