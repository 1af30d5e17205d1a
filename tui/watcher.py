"""Looks at an engine's experts a few times a second, for as long as somebody watches."""

from __future__ import annotations

import threading
from collections.abc import Callable

from edgemed.errors import EngineError
from edgemed.tui.contract import ChatEngine
from edgemed.tui.messages import ExpertsLooked

LOOK_SECONDS = 0.25


class Watcher:
    """`engine` answers with the engine of the moment, if there is one; `post` is called on the watcher's thread."""

    def __init__(self, engine: Callable[[], ChatEngine | None], post: Callable[[ExpertsLooked], object]) -> None:
        self._engine = engine
        self._post = post
        self._over: threading.Event | None = None

    @property
    def watching(self) -> bool:
        return self._over is not None

    def start(self) -> None:
        """Look from now on, until `stop`."""
        if self._over is None:
            self._over = threading.Event()
            threading.Thread(target=self._watch, args=(self._over,), name="watcher", daemon=True).start()

    def stop(self) -> None:
        """Look no more; a look under way may still be posted."""
        over, self._over = self._over, None
        if over is not None:
            over.set()

    def _watch(self, over: threading.Event) -> None:
        pause = 0.0
        while not over.wait(pause):
            pause = LOOK_SECONDS
            engine = self._engine()
            if engine is None or not engine.alive:
                continue
            try:
                self._post(ExpertsLooked(engine.look()))
            except EngineError:
                continue  # too busy, or gone: the next look may find it again
        engine = self._engine()
        if engine is not None and not self.watching:
            engine.look_away()
