"""The real chat in broken states: one sentence on the screen, no traceback, and nothing lost."""

from __future__ import annotations

import errno
import os
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgemed.vault.folder import unlock
from edgemed.vault.store import Store
from testing.native_build import CannotBuildError, build_full_disk
from testing.real_chat import CTRL_O, CTRL_Q, ENTER, ESCAPE, F12, PASSPHRASE, PROGRAM, Place, RealChat

pytestmark = [
    pytest.mark.slow,
    # They follow a real terminal second by second, which beside other work is not repeatable enough for every run.
    pytest.mark.skipif("EDGEMED_ATTACK" not in os.environ, reason="set EDGEMED_ATTACK=1 to attack the real chat"),
]

Make = Callable[[Callable[[Store], Any] | None], Place]
WRONG = "does not open"


def quits(chat: RealChat) -> None:
    chat.send(CTRL_Q)
    assert chat.status() == 0, chat.shown()
    assert "Traceback" not in chat.output


def questions(place: Place) -> list[str]:
    """The questions in the vault, which must be whole."""
    vault = unlock(place.vault, PASSPHRASE)
    try:
        vault.check().result()
        rows = vault.do(lambda store: store.connection.execute("SELECT question FROM turns ORDER BY place").fetchall())
        return [row[0] for row in rows.result()]
    finally:
        vault.close()


def test_wrong_passphrase_damaged_files_older_copy_and_two_programs(with_vault: Make, demonstration: Path) -> None:
    place = with_vault(None)
    files = {path.name: path.read_bytes() for path in place.vault.iterdir()}
    damages = {"keys.json": files["keys.json"][:-40], "vault.db": b"\7" * len(files["vault.db"])}
    with RealChat(place, demonstration) as chat:
        chat.until("24 recovery words")
        chat.send("incorrect horse battery staple" + ENTER)
        chat.until(WRONG)
        for name, content in damages.items():
            (place.vault / name).write_bytes(content)
            opens(chat, "damaged")
            (place.vault / name).write_bytes(files[name])
        other = unlock(place.vault, PASSPHRASE)
        opens(chat, "open; close it there first")
        other.close()
        for name, content in files.items():  # an older copy is put back
            (place.vault / name).write_bytes(content)
        opens(chat, "an older copy was put back")
        quits(chat)
    assert questions(place) == []


def opens(chat: RealChat, *said: str) -> None:
    """Type the passphrase; the screen says this then."""
    chat.read_for(0.5)
    chat.send("\x15")  # what an earlier try left
    chat.read_for(0.3)
    chat.send(PASSPHRASE + ENTER)
    chat.read_until(lambda: all(words in flowing(chat) for words in said), what=str(said))


def flowing(chat: RealChat) -> str:
    """The screen's text without line breaks and borders."""
    return " ".join(re.sub(r"[▌▎│┃]", " ", chat.shown()).split())


FULL_DISK = """
import ctypes, os, sys, threading, time
def watch():
    disk = ctypes.CDLL(None)
    while True:
        if os.path.exists(os.environ["FULL"]):
            disk.full_disk(os.environ["VAULT"].encode(), {error}, ctypes.c_long(0))
            while os.path.exists(os.environ["FULL"]):
                time.sleep(0.05)
            disk.full_disk(b"", 0, ctypes.c_long(0))
        time.sleep(0.05)
import edgemed.tui.launch as launch
opened = launch.open_chat
def open_chat(*words, **named):  # in the screen's process, which alone writes to the vault
    threading.Thread(target=watch, daemon=True).start()
    return opened(*words, **named)
launch.open_chat = open_chat
"""


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EROFS], ids=["full", "read-only"])
def test_a_disk_that_fails_in_a_chat(with_vault: Make, demonstration: Path, tmp_path: Path, error: int) -> None:
    """The draft and the question stay on the screen with a sentence, and are kept once the disk works again."""
    try:
        shim = build_full_disk(tmp_path)
    except CannotBuildError as reason:
        pytest.skip(f"the failing disk cannot be built here: {reason}")
    place, full = with_vault(None), tmp_path / "full"
    code = FULL_DISK.replace("{error}", str(error)) + PROGRAM
    shimmed = {"LD_PRELOAD": str(shim), "FULL": str(full), "VAULT": str(place.vault)}
    with RealChat(place, demonstration, code=code, **shimmed) as chat:
        chat.unlock()
        chat.engine_ready()
        full.touch()
        chat.read_for(0.3)
        chat.ask("What of 胸痛? ")
        chat.read_until(lambda: "try again" in flowing(chat) or "space" in flowing(chat), what="a sentence")
        assert "What of 胸痛?" in chat.shown(), "nothing that was typed is lost"
        full.unlink()
        chat.read_for(1.0)
        chat.send(ENTER)  # the question is in the box again
        chat.answered()
        quits(chat)
    assert set(questions(place)) == {"What of 胸痛?"}


def test_a_closed_terminal_and_a_request_to_end(with_vault: Make, demonstration: Path) -> None:
    """SIGTERM to the supervisor and a closed terminal end all processes and keep the draft."""
    place = with_vault(None)
    for hangs_up in (False, True):
        with RealChat(place, demonstration) as chat:
            chat.until("24 recovery words")
            chat.send(PASSPHRASE + ENTER)
            chat.engine_ready()
            chat.type(f"draft {hangs_up} ")
            chat.read_for(0.1)
            processes = chat.processes()
            if hangs_up:
                chat.hang_up()
            else:
                chat.signal(signal.SIGTERM)
            limit = time.monotonic() + 20
            while any(alive(pid) for pid in processes.values()):
                assert time.monotonic() < limit, {part: pid for part, pid in processes.items() if alive(pid)}
                chat.read_for(0.05) if not hangs_up else time.sleep(0.05)
            assert "Traceback" not in chat.output
        vault = unlock(place.vault, PASSPHRASE)
        drafts = vault.do(lambda store: store.connection.execute("SELECT draft FROM chats").fetchall()).result()
        vault.close()
        assert any(f"draft {hangs_up}" in row[0] for row in drafts), drafts


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_stopped_engine_and_a_stopped_screen_go_on(with_vault: Make, demonstration: Path) -> None:
    """SIGSTOP for a while, as a job that was left overnight; then SIGCONT."""
    place = with_vault(None)
    with RealChat(place, demonstration) as chat:
        chat.unlock()
        chat.engine_ready()
        for part in ("engine", "screen"):
            pid = chat.processes()[part]
            os.kill(pid, signal.SIGSTOP)
            chat.send(f"After {part}? ")
            chat.read_for(1.5)
            os.kill(pid, signal.SIGCONT)
            if part == "screen":
                os.kill(chat.supervisor, signal.SIGCONT)  # it stops with its screen, as a shell's job does
            chat.until(f"After {part}?")
            chat.send(ENTER)
            chat.answered()
        quits(chat)
    assert questions(place) == ["After engine?", "After screen?"]


CLOCK_BACK = """
import time, datetime
real, began = time.time, time.monotonic()
time.time = lambda: real() - (86_400 if time.monotonic() - began > 6 else 0)
"""


def test_a_clock_that_is_set_back(with_vault: Make, demonstration: Path) -> None:
    """The order of chats and turns stays that in which they were written."""
    place = with_vault(None)
    with RealChat(place, demonstration, code=CLOCK_BACK + PROGRAM) as chat:
        chat.unlock()
        chat.engine_ready()
        chat.ask("First? ")
        chat.answered()
        chat.read_for(6.0)
        chat.ask("Second? ")
        chat.answered()
        chat.send(CTRL_O)
        chat.until("Find a chat", "First?")
        chat.send(ESCAPE)
        chat.read_for(0.5)
        chat.send(F12 + F12)
        chat.until("recovery words")
        quits(chat)
    assert questions(place) == ["First?", "Second?"]


def test_a_home_that_cannot_be_written(place: Place, demonstration: Path) -> None:
    """The first run ends with a sentence, and asks again."""
    (place.home / "file").touch()  # not even root can make a folder in a file
    data = str(place.home / "file" / "data")
    with RealChat(place, demonstration, "--ram", "600MiB", XDG_DATA_HOME=data) as chat:
        chat.until("A passphrase for your chats")
        for _ in range(8):
            chat.send(
                "n" + ENTER if "y or n" in chat.shown() else ENTER if "PIN" in chat.shown() else PASSPHRASE + ENTER
            )
            chat.read_for(1.0)
            if "cannot be" in flowing(chat):
                break
        assert "cannot be" in flowing(chat), chat.shown()
        quits(chat)
