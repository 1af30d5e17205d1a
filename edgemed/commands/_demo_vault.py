"""The vault of the demonstration: eight fictitious patients behind a passphrase and a PIN that the screen prints.

It is made anew at each start of `edgemed demo`, so nobody can keep patients in it. A lock in between keeps it.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from edgemed.clinical.language import Language
from edgemed.commands._chat import Entered, open_session, place_of
from edgemed.commands._demo_patients import fill, patients
from edgemed.settings import Settings
from edgemed.tui.hiding.pin import digest_of
from edgemed.vault.folder import create, erase, exists
from edgemed.vault.keys import Cost
from edgemed.vault.store import Store

if TYPE_CHECKING:
    from edgemed.tui.entrance import Entrance
    from edgemed.tui.session import ChatSession

PASSPHRASE = "fictitious patients only"
PIN = "2468"
COST = Cost(memory_kib=1 << 10, iterations=1, lanes=1)
"""Cheap, because the passphrase is no secret."""

WHAT_IT_IS: dict[Language, str] = {
    "en": "This is a demonstration. A small model runs on this computer only. What it writes is made up. "
    "Its patients are fictitious and made anew at each start.",
    "zh-CN": "这是演示。一个小模型只在本机运行，所写内容纯属编造。患者均为虚构，每次启动都会重新生成。",
}
SECRETS: dict[Language, str] = {
    "en": "Fictitious patients. Passphrase: {passphrase} · PIN: {pin}",
    "zh-CN": "虚构患者。口令：{passphrase} · PIN：{pin}",
}


def make_demo_vault(folder: Path) -> None:
    """Replace the vault in `folder` by one of the fictitious patients. Raises VaultError, VaultBusy if it is open."""
    if exists(folder):
        erase(folder)
    shutil.rmtree(_templates(folder), ignore_errors=True)
    vault, _ = create(folder, PASSPHRASE, cost=COST)
    pin = digest_of(PIN)

    def put(store: Store) -> None:
        fill(store, patients())
        store.set_setting("pin", pin)

    try:
        vault.do(put).result()
    finally:
        vault.close()


def _templates(vault: Path) -> Path:
    """Where the demonstration's own templates are: beside its vault, and gone at the next start."""
    return vault.with_name("demo-templates")


def demo_entrance(
    args: argparse.Namespace, entered: Entered, *, folder: Path, model: Path, language: Language
) -> Entrance:
    """The entrance to the vault in `folder`, which asks for the passphrase only after a lock."""
    from edgemed.tui.entrance import Entrance

    known = Settings(model=model)
    secrets = SECRETS[language].format(passphrase=PASSPHRASE, pin=PIN)

    def session(chosen: Settings) -> ChatSession:
        opened = open_session(model, args, sealed=entered.sealed, introduction=f"{WHAT_IT_IS[language]}\n{secrets}")
        # The small model follows no instruction about the length, and writes worse with one.
        return replace(opened, length="standard", demonstration=secrets, templates=_templates(folder))

    unchanged: Callable[..., Settings] = lambda **changes: known  # noqa: E731
    return Entrance(
        folder=folder,
        settings=known,
        open_session=session,
        remember=unchanged,
        language=language,
        place=place_of(sealed=entered.sealed),
        demonstration=secrets,
        passphrase=PASSPHRASE if entered.why == "started" else "",
    )
