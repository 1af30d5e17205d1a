"""The live expert map: its arithmetic, and the panel in the chat and in `edgemed bench --watch`."""

from __future__ import annotations

import dataclasses
import threading
from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.segment import Segment
from textual.pilot import Pilot

from edgemed.chat.engine import ChatEngine
from edgemed.engine.process.protocol import RESIDENT, EngineStats, StoreState
from edgemed.errors import EngineDied, EngineError
from edgemed.tui.app import ChatApp
from edgemed.tui.bench import WatchApp
from edgemed.tui.liveview import FADE, Grid, LiveView, bars, fit
from edgemed.tui.messages import StoreStateChanged
from edgemed.tui.themes import DARK
from edgemed.tui.watcher import Watcher
from edgemed.tui.widgets.composer import Composer
from edgemed.tui.widgets.experts import ExpertMap, ExpertPanel
from testing.fake_engine import FakeEngine, info
from tests.tui.driving import screen_lines, screen_text, session, shows, shows_not, wait_until

STATS = FakeEngine().stats()


def seen(states: bytes, hits: bytes, misses: bytes, rows: int = 1, stats: EngineStats = STATS) -> StoreState:
    return StoreState.of(rows, (states, hits, misses), stats)


def test_a_use_glows_and_fades_and_what_is_in_memory_stays() -> None:
    view, each = LiveView(4), Grid(1, 1, 1, 1)
    view.take(seen(bytes([RESIDENT, RESIDENT, 0, 1]), bytes([9, 1, 0, 0]), bytes([0, 0, 0, 2])), 0)
    first = view.cells(each)
    assert first.memory.tolist() == [[1, 1, 0, 0]]
    assert first.hit[0, 0] == 1 > first.hit[0, 1] > 0.3
    assert first.hit[0, 2] == first.hit[0, 3] == 0
    assert first.missed.tolist() == [[0, 0, 0, 1]]
    view.take(seen(bytes([RESIDENT] * 4), bytes(4), bytes(4)), 0.25)
    second = view.cells(each)
    assert second.hit[0, 0] == pytest.approx(FADE)
    assert second.memory.tolist() == [[1, 1, 1, 1]]
    assert view.in_memory == 1


def test_cells_of_several_show_their_share_in_memory_and_their_brightest_use() -> None:
    view = LiveView(5)
    states = bytes([RESIDENT, 0, 0, 0, RESIDENT] + [0] * 5)
    view.take(seen(states, bytes([0, 4] + [0] * 8), bytes([0] * 9 + [1]), rows=2), 0)
    cells = view.cells(Grid(together=2, layers=2, across=1, down=1))
    assert cells.memory.tolist() == [[0.25, 0, 0.5]]
    assert cells.hit.tolist() == [[1, 0, 0]]
    assert cells.missed.tolist() == [[0, 0, 1]]


def test_rates_are_of_the_last_seconds() -> None:
    view = LiveView(1)
    for second in range(8):
        stats = dataclasses.replace(STATS, bytes_read=second**2 * 10**9, wait_s=second / 2, tokens=10 * second)
        view.take(seen(b"\0", b"\0", b"\0", stats=stats), float(second))
    assert view.disk_rates[-1] == pytest.approx((49 - 16) / 3 * 1e9)
    assert view.waits[-1] == pytest.approx(0.05)
    view.take(seen(b"\0", b"\0", b"\0", stats=stats), 20.0)
    assert view.waits[-1] == 0, "no token was computed in this window"


@given(st.integers(1, 60), st.integers(1, 600), st.integers(1, 300), st.integers(1, 90))
def test_the_map_fits_wherever_it_is(rows: int, experts: int, columns: int, lines: int) -> None:
    grid = fit(rows, experts, columns, lines)
    assert -(-experts // grid.together) * grid.across <= columns
    assert -(-rows // grid.layers) * grid.down <= 2 * lines
    assert (grid.together == 1) == (experts <= columns)
    assert (grid.layers == 1) == (rows <= 2 * lines)


def test_a_curve_ends_at_the_last_value_and_reaches_its_top() -> None:
    assert bars(deque([0.0, 1, 2, 8]), 3) == "▂▃█"
    assert bars(deque([0.0, 0.0]), 9) == "▁▁"
    assert bars(deque([1.0]), 0) == ""


def cells_of(pilot: Pilot[None], y: int) -> list[Segment]:
    """The map's cells on its line `y`, without the layer's number."""
    region = pilot.app.screen.query_one(ExpertMap).content_region
    found, x = [], 0
    for segment in screen_lines(pilot)[region.y + y]:
        found += [(x + i, Segment(char, segment.style)) for i, char in enumerate(segment.text)]
        x += len(segment.text)
    return [segment for at, segment in found if region.x + 3 <= at < region.right]


def ground(segment: Segment) -> str:
    assert segment.style is not None
    assert segment.style.bgcolor is not None
    return segment.style.bgcolor.get_truecolor().hex


async def test_f3_shows_the_live_expert_map_and_hides_them_again() -> None:
    engine = FakeEngine()
    async with ChatApp(session(engine)).run_test(size=(110, 40)) as pilot:
        await shows(pilot, "mini")
        assert engine.states_told == 0
        await pilot.press("f3")
        await shows(pilot, "5 layers of 16 experts\n", "in memory 38 %", "used: missed", "MB/s", "ms/token")
        # Of the scripted engine's experts, 0, 3, 6 ... are in memory; 0 and 3 were hits and the last one was a miss.
        colours = {name: DARK.variables[f"expert-{name}"] for name in ("hit", "memory", "disk", "missed")}
        first = [ground(cell) for cell in cells_of(pilot, 0)]
        across = pilot.app.screen.query_one(ExpertMap).grid.across
        shown = [first[expert * across] for expert in range(16)]
        assert shown[0] == shown[3] == colours["hit"]
        assert shown[6] == shown[9] == colours["memory"]
        assert shown[1] == shown[2] == colours["disk"]
        assert shown[15] == colours["missed"]
        assert isinstance(pilot.app.focused, Composer), "the composer keeps the focus"
        await pilot.press("f3")
        await shows_not(pilot, "used: missed")
        await wait_until(pilot, lambda: not engine.watched)
        told = engine.states_told
        await pilot.pause(0.6)
        assert engine.states_told == told, "no state is requested while the map is hidden"


@pytest.mark.slow
@pytest.mark.parametrize("size", [(80, 24), (120, 30), (200, 60)])
async def test_the_largest_model_fits_a_terminal(size: tuple[int, int]) -> None:
    engine = FakeEngine(engine_info=dataclasses.replace(info(), n_layers=32, n_experts=256))
    async with ChatApp(session(engine)).run_test(size=size) as pilot:
        await shows(pilot, "mini")
        await pilot.press("f3")
        await shows(pilot, "31 layers of 256 experts, ", "/cell", "in memory 34 %", "disk ", "wait ")
        panel, chart = pilot.app.screen.query_one(ExpertPanel), pilot.app.screen.query_one(ExpertMap)
        assert panel.region.contains_region(chart.region)
        assert chart.size.height * 2 >= 31 // chart.grid.layers
        assert screen_text(pilot).splitlines()[-1].rstrip().endswith("F1 help")


@pytest.mark.slow
async def test_a_change_of_size_or_theme_draws_the_map_anew() -> None:
    app = ChatApp(session(FakeEngine()))
    async with app.run_test(size=(110, 40)) as pilot:
        await shows(pilot, "mini")
        await pilot.press("f3")
        await shows(pilot, "used: missed")
        app.theme = "edgemed-light"
        light = app.get_theme("edgemed-light")
        assert light is not None
        await wait_until(pilot, lambda: ground(cells_of(pilot, 0)[0]) == light.variables["expert-hit"])
        await pilot.resize_terminal(80, 24)
        await shows(pilot, "used: missed")
        chart = app.screen.query_one(ExpertMap)
        await wait_until(pilot, lambda: chart.grid.across * 16 <= chart.size.width)


class Tired(FakeEngine):
    """Too busy for the first two requests."""

    def store_state(self) -> StoreState:
        if self.states_told < 2:
            self.states_told += 1
            raise EngineError("too busy") if self.states_told == 1 else EngineDied("gone")
        return super().store_state()


def test_a_watcher_outlives_an_engine_that_is_too_busy() -> None:
    came = threading.Event()
    heard: list[StoreStateChanged] = []

    def post(news: StoreStateChanged) -> None:
        heard.append(news)
        came.set()

    engine = Tired()
    watcher = Watcher(lambda: engine, post)
    watcher.start()
    watcher.start()
    assert came.wait(60)
    watcher.stop()
    watcher.stop()
    assert heard[0].state.rows == 5


async def test_bench_is_watched_to_its_end() -> None:
    engine: ChatEngine = FakeEngine()
    go_on = threading.Event()

    def measure(say: object) -> int:
        assert callable(say)
        say("Answer 1 of 3")
        go_on.wait(60)
        return 42

    app: WatchApp[int] = WatchApp(engine, measure)
    async with app.run_test(size=(100, 30)) as pilot:
        await shows(pilot, "mini: 5 MoE layers of 16 experts", "Answer 1 of 3. Esc: quit", "used: hit")  # type: ignore[arg-type]
        go_on.set()
        await wait_until(pilot, lambda: app.return_value is not None)  # type: ignore[arg-type]
    assert app.return_value == 42


async def test_bench_may_be_left_and_its_errors_come_out() -> None:
    engine = FakeEngine()
    left = threading.Event()
    app: WatchApp[None] = WatchApp(engine, lambda say: left.wait(60) and None)
    async with app.run_test() as pilot:
        await shows(pilot, "mini")
        await pilot.press("escape")
        left.set()
    assert app.return_value is None
    assert app.error is None

    def fails(say: object) -> None:
        raise EngineDied("The engine ended.")

    app = WatchApp(engine, fails)
    async with app.run_test() as pilot:
        await wait_until(pilot, lambda: app.error is not None)
    assert isinstance(app.error, EngineDied)
