"""Asks the engine for the store state four times a second while the live expert map is open."""

from __future__ import annotations

import threading
from collections.abc import Callable

from edgemed.chat.engine import ChatEngine
from edgemed.errors import EngineError
from edgemed.tui.messages import StoreStateChanged

INTERVAL_SECONDS = 0.25


class Watcher:
    """`engine` returns the current engine, None if there is none; `post` is called on the watcher's thread."""

    def __init__(self, engine: Callable[[], ChatEngine | None], post: Callable[[StoreStateChanged], object]) -> None:
        self._engine = engine
        self._post = post
        self._over: threading.Event | None = None

    @property
    def watching(self) -> bool:
        return self._over is not None

    def start(self) -> None:
        """Ask repeatedly until `stop`."""
        if self._over is None:
            self._over = threading.Event()
            threading.Thread(target=self._watch, args=(self._over,), name="watcher", daemon=True).start()

    def stop(self) -> None:
        """Stop asking; the result of a call in progress may still be posted."""
        over, self._over = self._over, None
        if over is not None:
            over.set()

    def _watch(self, over: threading.Event) -> None:
        pause = 0.0
        while not over.wait(pause):
            pause = INTERVAL_SECONDS
            engine = self._engine()
            if engine is None or not engine.alive:
                continue
            try:
                self._post(StoreStateChanged(engine.store_state()))
            except EngineError:
                continue  # too busy or dead; ask again later
        engine = self._engine()
        if engine is not None and not self.watching:
            engine.stop_watching()
