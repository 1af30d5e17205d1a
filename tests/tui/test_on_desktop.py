"""The chat beside a real desktop helper and a simulated logind."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgemed import supervisor
from edgemed.desktop.client import Desktop, start
from edgemed.tui.app import ChatApp
from testing.desktop import SimulatedLogind, lacking, private_bus
from tests.tui.driving import wait_until
from tests.tui.vaults import enter, entrance, make_vault

pytestmark = pytest.mark.slow


@pytest.fixture
def desktop(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Desktop, SimulatedLogind]]:
    if reason := lacking("dbus-daemon"):
        pytest.skip(reason)
    with private_bus() as address:
        simulated = SimulatedLogind(address)
        monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", address)
        for name in ("DISPLAY", "WAYLAND_DISPLAY"):
            monkeypatch.delenv(name, raising=False)
        helper = start()
        assert helper is not None
        yield helper, simulated
        helper.close()
        simulated.close()


@pytest.mark.parametrize("way", ["the desktop locks", "the computer sleeps"])
async def test_the_chat_locks_and_a_new_screen_lets_the_computer_sleep(
    desktop: tuple[Desktop, SimulatedLogind], tmp_path: Path, way: str
) -> None:
    helper, logind = desktop
    place = make_vault(tmp_path / "vault")
    app = ChatApp(entrance=entrance(place), desktop=helper)
    async with app.run_test() as pilot:
        await enter(pilot)
        await wait_until(pilot, lambda: app._chat is not None and app._open and bool(logind.inhibitors))
        logind.lock() if way == "the desktop locks" else logind.prepare_for_sleep(True)
        await wait_until(pilot, lambda: app._leaving)
    assert app.return_code == supervisor.LOCKED
    assert logind.waits_for(0)

    new = ChatApp(entrance=entrance(place), desktop=helper)
    async with new.run_test() as pilot:
        if way == "the computer sleeps":
            await wait_until(pilot, lambda: not logind.waits_for(0))
        else:
            await pilot.pause(0.2)
            assert logind.waits_for(0)


async def test_the_terminal_copies_where_there_is_no_clipboard_program(
    desktop: tuple[Desktop, SimulatedLogind], tmp_path: Path
) -> None:
    app = ChatApp(entrance=entrance(make_vault(tmp_path / "vault")), desktop=desktop[0])
    async with app.run_test() as pilot:
        app.copy_to_clipboard("500 mg")
        await wait_until(pilot, lambda: app.clipboard == "500 mg")


async def test_a_chat_goes_on_when_its_helper_has_died(
    desktop: tuple[Desktop, SimulatedLogind], tmp_path: Path
) -> None:
    helper, _ = desktop
    app = ChatApp(entrance=entrance(make_vault(tmp_path / "vault")), desktop=helper)
    async with app.run_test() as pilot:
        os.kill(helper._helper.pid, 9)
        await wait_until(pilot, lambda: not helper.alive)
        app.copy_to_clipboard("500 mg")
        assert app.clipboard == "500 mg"
