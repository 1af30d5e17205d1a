"""A desktop for tests: a private message bus with a simulated logind, and displays without a screen."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from jeepney import DBusAddress, HeaderFields, Message, MessageType, new_error, new_method_return, new_signal
from jeepney.bus_messages import message_bus
from jeepney.io.blocking import DBusConnection, open_dbus_connection

SESSION = "/org/freedesktop/login1/session/_31"
_LOGIND = "org.freedesktop.login1"
NOBODY = 65534
_CONFIGURATION = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path={folder}/bus</listen>
  <policy context="default">
    <allow send_destination="*"/><allow receive_sender="*"/><allow own="*"/><allow user="*"/>
  </policy>
</busconfig>
"""


@contextmanager
def private_bus() -> Iterator[str]:
    """The address of a message bus of our own."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "bus.conf").write_text(_CONFIGURATION.format(folder=folder))
        command = ["dbus-daemon", "--nofork", f"--config-file={folder / 'bus.conf'}"]
        with running(command, ready=lambda: _accepts(folder / "bus")):
            yield f"unix:path={folder / 'bus'}"


class SimulatedLogind:
    """Answers what `edgemed.desktop.logind` asks, and sends signals."""

    def __init__(self, address: str) -> None:
        self._bus: DBusConnection = open_dbus_connection(address, enable_fds=True)
        self._bus.send_and_get_reply(message_bus.RequestName(_LOGIND))
        self.inhibitors: list[int] = []
        """Reading ends of the pipes whose writing ends were given out: readable once an inhibitor is released."""
        self._closed = False
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._closed = True
        self._thread.join()
        self._bus.close()
        for pipe in self.inhibitors:
            os.close(pipe)

    def lock(self) -> None:
        """What `loginctl lock-session` causes."""
        self._signal(SESSION, f"{_LOGIND}.Session", "Lock")

    def hint_locked(self, locked: bool) -> None:
        """What a desktop causes that locks by itself."""
        body = (f"{_LOGIND}.Session", {"LockedHint": ("b", locked)}, [])
        self._signal(SESSION, "org.freedesktop.DBus.Properties", "PropertiesChanged", "sa{sv}as", body)

    def prepare_for_sleep(self, begins: bool) -> None:
        self._signal(f"/{_LOGIND.replace('.', '/')}", f"{_LOGIND}.Manager", "PrepareForSleep", "b", (begins,))

    def waits_for(self, inhibitor: int) -> bool:
        """Whether this inhibitor is still held."""
        os.set_blocking(self.inhibitors[inhibitor], False)
        try:
            return os.read(self.inhibitors[inhibitor], 1) != b""
        except BlockingIOError:
            return True

    def _signal(self, path: str, interface: str, name: str, signature: str | None = None, body: Any = ()) -> None:
        self._bus.send(new_signal(DBusAddress(path, interface=interface), name, signature, body))

    def _serve(self) -> None:
        while not self._closed:
            with suppress(TimeoutError):
                message = self._bus.receive(timeout=0.05)
                if message.header.message_type is MessageType.method_call:
                    self._answer(message)

    def _answer(self, message: Message) -> None:
        match message.header.fields.get(HeaderFields.member):
            case "GetSession" | "GetSessionByPID":
                self._bus.send(new_method_return(message, "o", (SESSION,)))
            case "Inhibit":
                reading, writing = os.pipe()
                self.inhibitors.append(reading)
                self._bus.send(new_method_return(message, "h", (writing,)))
                os.close(writing)
            case _:
                self._bus.send(new_error(message, "org.freedesktop.DBus.Error.UnknownMethod"))


@contextmanager
def x11_display() -> Iterator[dict[str, str]]:
    """The environment of an X11 display without a screen (Xvfb)."""
    reading, writing = os.pipe()
    command = ["Xvfb", "-displayfd", str(writing), "-screen", "0", "640x480x24", "-nolisten", "tcp", "-noreset"]
    process = subprocess.Popen(command, pass_fds=(writing,), stderr=subprocess.DEVNULL)
    os.close(writing)
    try:
        with os.fdopen(reading) as number:
            yield {"DISPLAY": f":{number.readline().strip()}"}
    finally:
        process.terminate()
        process.wait()


@contextmanager
def wayland_display() -> Iterator[dict[str, str]]:
    """The environment of a Wayland compositor without a screen (sway, which refuses to run as root)."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o700)
        (folder / "sway.conf").write_text("xwayland disable\n")
        environment = {"XDG_RUNTIME_DIR": name, "WAYLAND_DISPLAY": "wayland-1"}
        headless = {"WLR_BACKENDS": "headless", "WLR_LIBINPUT_NO_DEVICES": "1", "WLR_RENDERER": "pixman", "HOME": name}
        command = ["sway", "-c", str(folder / "sway.conf")]
        if os.getuid() == 0:
            command = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", *command]
            for path in (folder, *folder.iterdir()):
                os.chown(path, NOBODY, NOBODY)
        with running(command, ready=(folder / "wayland-1").exists, env=os.environ | environment | headless):
            yield environment


@contextmanager
def running(command: list[str], *, ready: Any, env: Any = None) -> Iterator[None]:
    """A program that runs within the block, once `ready()` is true."""
    null = subprocess.DEVNULL
    process = subprocess.Popen(command, env=env, stdout=null, stderr=null)
    try:
        until = time.monotonic() + 10
        while not ready():
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"{command[0]} did not start.")
            time.sleep(0.01)
        yield
    finally:
        process.terminate()
        process.wait()


def _accepts(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as end:
        return end.connect_ex(str(path)) == 0


def lacking(*programs: str) -> str:
    """The reason to skip a test that needs these programs; empty if they are installed."""
    missing = [program for program in programs if shutil.which(program) is None]
    return f"not installed: {', '.join(missing)}" if missing else ""
