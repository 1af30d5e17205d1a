"""Listens to logind on the system bus: this session locks, or the computer is about to sleep.

https://www.freedesktop.org/software/systemd/man/org.freedesktop.login1.html and
https://systemd.io/INHIBITOR_LOCKS: the computer waits a few seconds for the holder of a delay inhibitor.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Literal

from jeepney import DBusAddress, HeaderFields, MatchRule, Message, MessageType, Properties, new_method_call
from jeepney.bus_messages import message_bus
from jeepney.fds import FileDescriptor
from jeepney.io.blocking import DBusConnection, open_dbus_connection
from jeepney.wrappers import DBusErrorResponse, unwrap_msg

News = Literal["lock", "sleep", "woke"]

_LOGIND = "org.freedesktop.login1"
_MANAGER = DBusAddress("/org/freedesktop/login1", _LOGIND, f"{_LOGIND}.Manager")
_SESSION, _USER, _PROPERTIES = f"{_LOGIND}.Session", f"{_LOGIND}.User", "org.freedesktop.DBus.Properties"
_ANSWER_SECONDS = 2.0


class Logind:
    """A connection to logind. Raises OSError if there is none."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._inhibitor: FileDescriptor | None = None
        try:
            self._bus: DBusConnection = open_dbus_connection("SYSTEM", enable_fds=True)
        except (RuntimeError, KeyError, ValueError, EOFError) as error:
            raise OSError("the system bus cannot be reached") from error
        try:
            self._session = self._find_session(environment)
            self._subscribe()
            self._delay_sleep()
        except (DBusErrorResponse, RuntimeError) as error:
            self._bus.close()
            raise OSError("logind does not answer") from error
        except OSError:
            self._bus.close()
            raise

    def fileno(self) -> int:
        descriptor: int = self._bus.sock.fileno()
        return descriptor

    def close(self) -> None:
        self.let_sleep()
        self._bus.close()

    def receive(self) -> list[News]:
        """What has happened, without waiting. Raises OSError if the connection is lost."""
        found: list[News] = []
        while True:
            try:
                message = self._bus.receive(timeout=0)
            except TimeoutError:
                return found
            except RuntimeError as error:
                raise OSError("the system bus sent too much") from error
            if (news := self._news(message)) is not None:
                found.append(news)

    def let_sleep(self) -> None:
        """Release the inhibitor: the computer need not wait for us."""
        if self._inhibitor is not None:
            self._inhibitor.close()
            self._inhibitor = None

    def delay_sleep_again(self) -> None:
        """Take an inhibitor for the next time. Raises OSError."""
        try:
            self._delay_sleep()
        except (DBusErrorResponse, RuntimeError) as error:
            raise OSError("logind does not answer") from error

    def _find_session(self, environment: Mapping[str, str]) -> str:
        """The object path of our session: by its id, else by our process, else the one the user sees.

        A terminal that the user's service manager started belongs to no session.
        """
        if name := environment.get("XDG_SESSION_ID"):
            try:
                return str(self._call(_MANAGER, "GetSession", "s", (name,))[0])
            except DBusErrorResponse:
                pass
        try:
            return str(self._call(_MANAGER, "GetSessionByPID", "u", (os.getpid(),))[0])
        except DBusErrorResponse:
            user = DBusAddress(str(self._call(_MANAGER, "GetUser", "u", (os.getuid(),))[0]), _LOGIND, _USER)
            (_, (_, path)) = self._ask(Properties(user).get("Display"))[0]
            return str(path)

    def _subscribe(self) -> None:
        for rule in (
            MatchRule(type="signal", sender=_LOGIND, interface=_SESSION, member="Lock", path=self._session),
            MatchRule(type="signal", sender=_LOGIND, interface=_PROPERTIES, path=self._session),
            MatchRule(type="signal", sender=_LOGIND, interface=_MANAGER.interface, member="PrepareForSleep"),
        ):
            self._ask(message_bus.AddMatch(rule))

    def _delay_sleep(self) -> None:
        self.let_sleep()
        asked = ("sleep", "edgemed", "Locks the chat", "delay")
        (self._inhibitor,) = self._call(_MANAGER, "Inhibit", "ssss", asked)

    def _news(self, message: Message) -> News | None:
        fields = message.header.fields
        if message.header.message_type is not MessageType.signal:
            return None
        body: Any = message.body
        match fields.get(HeaderFields.member):
            case "Lock":
                return "lock"
            case "PrepareForSleep":
                return "sleep" if body[0] else "woke"
            case "PropertiesChanged" if body[0] == _SESSION:
                # Desktops that lock by themselves set this hint and send no Lock.
                hint = body[1].get("LockedHint")
                return "lock" if hint is not None and hint[1] else None
        return None

    def _call(self, to: DBusAddress, method: str, signature: str, body: tuple[Any, ...]) -> tuple[Any, ...]:
        return self._ask(new_method_call(to, method, signature, body))

    def _ask(self, message: Message) -> tuple[Any, ...]:
        answer: tuple[Any, ...] = unwrap_msg(self._bus.send_and_get_reply(message, timeout=_ANSWER_SECONDS))
        return answer
