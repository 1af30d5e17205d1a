"""The desktop helper beside a simulated logind and real clipboards. No real suspend and no real desktop were tried."""

import os
import select
import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from edgemed.desktop import messages
from edgemed.desktop.client import Desktop, start
from testing.desktop import SimulatedLogind, lacking, private_bus, wayland_display, x11_display
from testing.processes import command, descendants
from testing.timing import soon

TEXT = "Metformin 500 mg BD, eGFR < 30: 停用二甲双胍\n" * 40
NO_BUS = "unix:path=/nonexistent/bus"

pytestmark = pytest.mark.slow

eventually = partial(soon, seconds=5)


@pytest.fixture
def desktop(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Desktop]]:
    """Starts a helper in the given environment, without a desktop unless that names one."""
    started: list[Desktop] = []

    def begin(**environment: str) -> Desktop:
        for name in ("DISPLAY", "WAYLAND_DISPLAY", "XDG_SESSION_ID"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", NO_BUS)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        helper = start()
        assert helper is not None
        started.append(helper)
        return helper

    yield begin
    for helper in started:
        helper.close()


@pytest.fixture
def logind() -> Iterator[tuple[SimulatedLogind, str]]:
    if reason := lacking("dbus-daemon"):
        pytest.skip(reason)
    with private_bus() as address:
        simulated = SimulatedLogind(address)
        yield simulated, address
        simulated.close()


def heard(desktop: Desktop, seconds: float = 5) -> list[bytes]:
    """The next words of the helper."""
    select.select([desktop], [], [], seconds)
    return desktop.receive()


def copied(desktop: Desktop, text: str) -> bool:
    return desktop.copy(text) and desktop.copied()


@pytest.mark.parametrize("session", ["1", ""], ids=["by id", "by process"])
def test_the_desktop_locks(desktop: Callable[..., Desktop], logind: tuple[SimulatedLogind, str], session: str) -> None:
    simulated, address = logind
    helper = desktop(DBUS_SYSTEM_BUS_ADDRESS=address, XDG_SESSION_ID=session)
    assert eventually(lambda: len(simulated.inhibitors) == 1)
    simulated.hint_locked(False)
    simulated.lock()
    assert heard(helper) == [messages.LOCK]
    simulated.hint_locked(True)
    assert heard(helper) == [messages.LOCK]


def test_the_computer_sleeps_once_the_chat_is_locked(
    desktop: Callable[..., Desktop], logind: tuple[SimulatedLogind, str]
) -> None:
    simulated, address = logind
    helper = desktop(DBUS_SYSTEM_BUS_ADDRESS=address)
    assert eventually(lambda: len(simulated.inhibitors) == 1)
    simulated.prepare_for_sleep(True)
    assert heard(helper) == [messages.SLEEP]
    assert simulated.waits_for(0)
    helper.ready_to_sleep()
    assert eventually(lambda: not simulated.waits_for(0))
    simulated.prepare_for_sleep(False)
    assert eventually(lambda: len(simulated.inhibitors) == 2)
    assert simulated.waits_for(1)


def test_without_a_desktop_the_terminal_must_copy(desktop: Callable[..., Desktop]) -> None:
    helper = desktop()
    assert not copied(helper, TEXT)
    helper.clear()
    helper.ready_to_sleep()
    assert heard(helper, 0.2) == []


DISPLAYS = [
    pytest.param(x11_display, ("Xvfb", "xclip"), ["xclip", "-selection", "clipboard", "-out"], id="X11"),
    pytest.param(wayland_display, ("sway", "wl-copy"), ["wl-paste", "--no-newline"], id="Wayland"),
]


@pytest.mark.parametrize(("display", "programs", "paste"), DISPLAYS)
def test_a_copy_can_be_pasted_until_it_is_cleared(
    desktop: Callable[..., Desktop], display: Callable[..., object], programs: tuple[str, ...], paste: list[str]
) -> None:
    if reason := lacking(*programs):
        pytest.skip(reason)
    with display() as environment:  # type: ignore[attr-defined]
        helper = desktop(**environment)

        def pasted() -> bytes:
            try:
                return subprocess.run(paste, env=os.environ, capture_output=True, timeout=1, check=False).stdout
            except subprocess.TimeoutExpired:  # the owner was ended between the question and its answer
                return b""

        assert copied(helper, TEXT)
        assert eventually(lambda: pasted().decode() == TEXT)
        assert copied(helper, "another text")
        assert eventually(lambda: pasted() == b"another text")
        helper.clear()
        assert eventually(lambda: not pasted())


def test_what_another_program_copied_is_left_alone(desktop: Callable[..., Desktop]) -> None:
    if reason := lacking("Xvfb", "xclip"):
        pytest.skip(reason)
    with x11_display() as environment:
        helper = desktop(**environment)
        assert copied(helper, TEXT)
        copy = ["xclip", "-selection", "clipboard", "-in"]
        subprocess.run(copy, input=b"theirs", check=True, env=os.environ, stdout=-3, stderr=-3)
        helper.clear()
        paste = ["xclip", "-selection", "clipboard", "-out"]
        found = subprocess.run(paste, env=os.environ, capture_output=True, timeout=5, check=False)
        assert found.stdout == b"theirs"


def test_the_helper_holds_no_text(desktop: Callable[..., Desktop]) -> None:
    if reason := lacking("Xvfb", "xclip"):
        pytest.skip(reason)
    with x11_display() as environment:
        helper = desktop(**environment)
        assert copied(helper, "planted 高血压 word " * 5000)
        workers = [pid for pid in descendants(os.getpid()) if "edgemed.desktop.helper" in command(pid)]
        assert workers
        assert not any(_holds(pid, "planted 高血压 word") for pid in workers)
        owners = [pid for pid in descendants(os.getpid()) if "bin/xclip" in command(pid)]
        assert any(_holds(pid, "planted 高血压 word") for pid in owners)  # the same search finds it where it is
        helper.clear()
        assert eventually(lambda: not any(command(pid) for pid in owners))


def _holds(pid: int, text: str) -> bool:
    """Whether the process has the text in its memory. Read as root."""
    wanted = text.encode()
    with Path(f"/proc/{pid}/mem").open("rb", 0) as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            span, rights = line.split()[:2]
            if "r" not in rights or "[v" in line:
                continue
            start, end = (int(side, 16) for side in span.split("-"))
            try:
                if wanted in os.pread(memory.fileno(), end - start, start):
                    return True
            except (OSError, OverflowError):
                continue
    return False
