"""Pictures of every screen of the chat, to be looked at: in three themes, at three sizes, and in Chinese.

    python -m benchmarks.screens FOLDER [NAME ...]

For each screen it writes an SVG for every look, and a contact sheet NAME.png with all of them. The engine is scripted,
and the vault has 40 fictitious cases. `rsvg-convert` makes the PNG with this machine's fonts: it needs a monospaced one
with Chinese characters, such as Debian's fonts-noto-cjk.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from textual.pilot import Pilot

from edgemed.clinical import Language
from edgemed.errors import EngineDied
from edgemed.tui.app import ChatApp
from edgemed.tui.hiding.pin import digest_of
from edgemed.tui.screens.first_run import FirstRunScreen
from edgemed.tui.themes import CONTRAST, DARK, LIGHT
from edgemed.vault.store import Store
from testing.fake_engine import FakeEngine, Hold, Step
from tests.tui.driving import screen_text, send, session
from tests.tui.test_snapshots import ANSWER, REASONED
from tests.tui.vaults import PASSPHRASE, FirstChat, chat_on, entrance, forty_cases, make_vault

Size = tuple[int, int]
Look = tuple[str, Size]
"""A theme and a size."""
THEMES = (DARK.name, LIGHT.name, CONTRAST.name)
NORMAL, NARROW, WIDE = (80, 24), (60, 20), (120, 40)
CHINESE_ANSWER = """首选**阿莫西林** 500 mg，每日 3 次，共 5 天；eGFR < 30 mL/min/1.73 m² 时减量。

| 药物 | 剂量 | 天数 |
|---|---|---|
| 阿莫西林 | 500 mg | 5 |
| 多西环素 | 100 mg | 5 |

- 监测血钾，> 5.5 mmol/L 时停用
"""
QUESTIONS: dict[Language, Sequence[str]] = {
    "en": ("45M chest pain since 2 hours, troponin 84 ng/L. What treats it?", "And how often?", "72F fell at home"),
    "zh-CN": ("男，45岁，胸痛2小时，肌钙蛋白 84 ng/L。如何处理？", "多久一次？", "女，72岁，在家跌倒"),
}
DOSE: dict[Language, str] = {"en": "What dose of enoxaparin for her?", "zh-CN": "依诺肝素她用多少？"}
EMERGENCY: dict[Language, str] = {
    "en": "64 M, chest pain for 2 hours, sweating. BP 84/50, RR 26, K 6.9",
    "zh-CN": "男，64岁，胸痛2小时伴大汗，血压84/50，呼吸26次/分，血钾6.9",
}
DEATH = EngineDied(
    "The model stopped because this computer ran out of memory; close other programs, or choose a smaller --ram "
    "(SIGKILL)."
)
RAGGED = """| Drug | Dose |
|---|---|
| Amoxicillin | 1 g | 5 days |
| Doxycycline |

| Hour | Rate |
|---|---|
| 0<br>1 | 5 mL/h |
"""
UNLOCK = (f"={PASSPHRASE}", "enter")
FIRST_RUN = (*UNLOCK, *UNLOCK, "n", "enter", "=2580", "enter")


@dataclass(frozen=True)
class Shown:
    """How a screen is reached. A step is a key; "=TEXT" is typed; "?N" is the N-th question with Enter.

    `vault`: behind a vault; `first`: before there is one. `themed`: opened anew for each theme, because Textual colours
    the palette only when it is opened.
    """

    steps: Sequence[str] = ()
    answers: Sequence[Sequence[Step]] = ()
    vault: bool = False
    first: bool = False
    themed: bool = False


def half() -> Sequence[Step]:
    return ["Take 5 mg", Hold()]


def screens(language: Language) -> dict[str, Shown]:
    """Every screen, by name."""
    answer = ANSWER if language == "en" else CHINESE_ANSWER
    reasoned = REASONED if language == "en" else f"<think>500 mg？不，过敏。</think>{CHINESE_ANSWER}"
    return {
        "empty": Shown(),
        "waiting": Shown(("?0", "?1", "=a third"), [half()]),
        "answer": Shown(("?0",), [[answer]]),
        "chosen": Shown(("?0", "shift+tab", "shift+tab"), [[reasoned]]),
        "turn-menu": Shown(("?0", "shift+tab", "shift+tab", "enter"), [[reasoned]]),
        "ragged-tables": Shown(("?0",), [[RAGGED]]),
        "stopped": Shown(("?0", "?1", "escape"), [half()]),
        "copy-cut": Shown(("?0", "escape", "f2"), [half()]),
        "copied": Shown(("?0", "f2"), [[answer]]),
        "selectable": Shown(("?0", "f2", "f2"), [[answer]]),
        "died": Shown(("?0",), [["Take 5", DEATH], ["Take 5", DEATH]]),
        "help": Shown(("f1",)),
        "help-end": Shown(("f1", "end")),
        "palette": Shown(("ctrl+p",), themed=True),
        "palette-found": Shown(("ctrl+p", "=c"), themed=True),
        "slash-menu": Shown(("=/",)),
        "slash-found": Shown(("=/c",)),
        "slash-unknown": Shown(("=/nothing", "enter")),
        "experts": Shown(("?0", "f3"), [[answer]]),
        "case": Shown(("ctrl+t",)),
        "case-filled": Shown(("ctrl+t", "=54", "enter", "=M")),
        "wrong-patient": Shown(("?0", "?2"), [["Rest."]]),
        "seen": Shown(("?0", "f9"), [[answer]]),
        "seen-vault": Shown((*UNLOCK, "?0", "f9"), [[answer]], vault=True),
        "leave": Shown(("?0", "=half a question", "ctrl+q"), [half()]),
        "first-run": Shown(first=True),
        "first-run-weak": Shown(("=short", "enter"), first=True),
        "first-run-repeat": Shown(UNLOCK, first=True),
        "first-run-others": Shown((*UNLOCK, *UNLOCK), first=True),
        "first-run-pin": Shown((*UNLOCK, *UNLOCK, "n", "enter"), first=True),
        "recovery": Shown(FIRST_RUN, first=True),
        "recovery-check": Shown((*FIRST_RUN, "enter"), first=True),
        "unlock": Shown(vault=True),
        "refused": Shown(("=wrong", "enter"), vault=True),
        "chat-of-vault": Shown(UNLOCK, vault=True),
        "hidden": Shown((*UNLOCK, "f12"), vault=True),
        "hidden-refused": Shown((*UNLOCK, "f12", "=1234", "enter"), vault=True),
        "chats": Shown((*UNLOCK, "ctrl+o"), vault=True),
        "found": Shown((*UNLOCK, "ctrl+o", "=Drugazole"), vault=True),
        "found-nothing": Shown((*UNLOCK, "ctrl+o", "=zzzz"), vault=True),
        "deleted": Shown((*UNLOCK, "ctrl+o", "4", "delete"), vault=True),
        "renamed": Shown((*UNLOCK, "ctrl+o", "ctrl+e"), vault=True),
        "moved": Shown((*UNLOCK, "ctrl+o", "ctrl+g", "=B"), vault=True),
        "unsaved": Shown((*UNLOCK, "=/unsaved", "enter"), vault=True),
        "unsaved-lock": Shown((*UNLOCK, "=/unsaved", "enter", "=half a question", "ctrl+z"), vault=True),
        "set-pin": Shown((*UNLOCK, "=/pin", "enter"), vault=True),
        "set-pin-refused": Shown((*UNLOCK, "=/pin", "enter", "=12", "enter"), vault=True),
        "flagged": Shown((f"={EMERGENCY[language]}", "enter"), [[answer]]),
        "flags": Shown(("?0", "=/flags", "enter"), [[answer]]),
        "rules": Shown(("=/rules", "enter")),
        "not-given": Shown((f"={DOSE[language]}",)),
        "notes": Shown(("?0", "=/note", "enter"), [[answer]]),
        "note": Shown((*UNLOCK, "?0", "=/note", "enter", "enter", "alt+d"), [[answer], [answer]], vault=True),
        "templates": Shown((*UNLOCK, "=/templates", "enter"), vault=True),
        "template": Shown((*UNLOCK, "=/templates", "enter", "enter"), vault=True),
        "export": Shown(("?0", "alt+e"), [[answer]]),
        "export-note": Shown(
            (*UNLOCK, "?0", "=/note", "enter", "enter", "alt+d", "=x", "escape", "alt+e"),
            [[answer], [answer]],
            vault=True,
        ),
        "review": Shown(("?0", "alt+e", "down", "enter"), [[answer]]),
        "audit": Shown((*UNLOCK, "?0", "=/audit", "enter"), [[answer]], vault=True),
    }


async def settled(pilot: Pilot[None], still: float = 0.3, most: float = 4.0) -> None:
    """Wait until the screen has not changed for a while. A clock on it changes for ever: then wait no longer."""
    limit, since, before = time.monotonic() + most, time.monotonic(), ""
    while time.monotonic() - since < still and time.monotonic() < limit:
        await asyncio.sleep(0.03)
        if (now := screen_text(pilot)) != before:
            since, before = time.monotonic(), now
    await pilot.pause()


async def walk(pilot: Pilot[None], shown: Shown, language: Language) -> None:
    await settled(pilot, still=0.8)
    for step in shown.steps:
        if step.startswith("="):
            send(pilot, step[1:])
        elif step.startswith("?"):
            send(pilot, f"{QUESTIONS[language][int(step[1:])]}\r")
        else:
            await pilot.press(step)
        await settled(pilot, still=0.6 if step in ("enter", "?0") else 0.3)


def app_of(shown: Shown, folder: Path, language: Language) -> ChatApp:
    engine = FakeEngine(*shown.answers)
    if shown.first:
        return FirstChat(entrance=entrance(folder / "new", engine, language=language))
    if shown.vault:
        return chat_on(make_vault(folder / "vault", filled), *shown.answers, language=language)
    return ChatApp(session(engine, language=language, use="unevaluated"))


def filled(store: Store) -> None:
    forty_cases(store)
    store.set_setting("pin", digest_of("2580"))


async def pictures(name: str, language: Language, looks: Sequence[Look], folder: Path) -> dict[Look, str]:
    """SVGs of a screen. It is opened once, and then shown in each theme and size."""
    shown, found = screens(language)[name], {}
    with tempfile.TemporaryDirectory() as temporary:
        app = app_of(shown, Path(temporary), language)
        async with app.run_test(size=looks[0][1], notifications=True) as pilot:
            app.theme = looks[0][0]
            await walk(pilot, shown, language)
            for theme, size in looks:
                app.theme = theme
                await pilot.resize_terminal(*size)
                await settled(pilot)
                found[theme, size] = with_fonts(app.export_screenshot())
                (folder / f"{name}-{language}-{theme}-{size[0]}x{size[1]}.svg").write_text(found[theme, size])
            if isinstance(app.screen, FirstRunScreen):
                await app.leave(0)
    return found


def with_fonts(svg: str) -> str:
    """Name fonts of this machine, and set their characters on the grid of cells: `rsvg-convert` ignores textLength."""
    svg = re.sub(r"@font-face \{.*?\}", "", svg, flags=re.DOTALL)
    svg = svg.replace("Fira Code, monospace", "DejaVu Sans Mono, Noto Sans Mono CJK SC; letter-spacing: 0.16px")
    wide = r"[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]+"
    return re.sub(wide, lambda match: f'<tspan letter-spacing="4.4">{match[0]}</tspan>', svg)


def sheet(rows: Sequence[Sequence[str]], width: float = 1600.0, gap: float = 10.0) -> str:
    """SVGs in rows, each as high as its widest picture needs."""
    parts, top = [], gap
    for row in rows:
        each = (width - gap * (len(row) + 1)) / len(row)
        heights = []
        for column, svg in enumerate(row):
            box = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg)
            assert box is not None
            heights.append(each * float(box[2]) / float(box[1]))
            place = f'x="{gap + column * (each + gap)}" y="{top}" width="{each}" height="{heights[-1]}"'
            parts.append(svg.replace('<svg class="rich-terminal"', f'<svg xml:space="preserve" {place}', 1))
        top += max(heights) + gap
    frame = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {top}" width="{width}" height="{top}">'
    return f'{frame}<rect width="100%" height="100%" fill="#777"/>{"".join(parts)}</svg>'


async def contact_sheet(name: str, folder: Path) -> None:
    english: dict[Look, str] = {}
    for themes in [[theme] for theme in THEMES] if screens("en")[name].themed else [THEMES]:
        looks = [(theme, size) for size in (NORMAL, NARROW, WIDE) for theme in themes]
        english |= await pictures(name, "en", looks, folder)
    chinese = await pictures(name, "zh-CN", [(DARK.name, NORMAL)], folder)
    normal, narrow, wide = ([english[theme, size] for theme in THEMES] for size in (NORMAL, NARROW, WIDE))
    source = folder / f"{name}.svg"
    source.write_text(sheet([[normal[0], *chinese.values()], normal[1:], narrow, wide]))
    subprocess.run(["rsvg-convert", "--unlimited", source, "-o", folder / f"{name}.png"], check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("names", nargs="*", metavar="NAME", choices=[*screens("en"), []], help="all, if none is named")
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    for name in args.names or screens("en"):
        asyncio.run(contact_sheet(name, args.folder))
        print(name)


if __name__ == "__main__":
    main()
