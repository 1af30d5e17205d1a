"""Take docs/images/chat.png: a real answer of the demonstration model in the real chat.

    .venv/bin/python recipes/screenshot.py "What are the symptoms of asthma?" --seed 5

Run `edgemed demo` first: its converted file is read. Needs rsvg-convert (Debian: librsvg2-bin) and a monospaced font.
"""

import argparse
import asyncio
import dataclasses
import subprocess
from pathlib import Path

from edgemed.commands._chat import open_session
from edgemed.commands.demo import WHAT_IT_IS, converted
from edgemed.commands.inspect import precision_map
from edgemed.demo import checkpoint_path
from edgemed.engine.client import Engine
from edgemed.engine.protocol import EngineSettings
from edgemed.tui.app import ChatApp
from edgemed.tui.session import ChatSession
from edgemed.tui.widgets.composer import Composer

PICTURE = Path(__file__).parents[1] / "docs" / "images" / "chat.png"
SIZE = (92, 40)
WIDTH_PIXELS = 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("question")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--ram", type=int, default=1 << 30)
    args = parser.parse_args()
    svg = asyncio.run(photograph(session(args.seed, args.ram), args.question))
    # Without this the converter drops the spaces at the beginning of every run of text.
    svg = svg.replace("<text ", '<text xml:space="preserve" ')
    PICTURE.parent.mkdir(exist_ok=True)
    subprocess.run(["rsvg-convert", "-w", str(WIDTH_PIXELS), "-o", str(PICTURE)], input=svg.encode(), check=True)


def session(seed: int, ram: int) -> ChatSession:
    """The demonstration's session, with a fixed seed."""
    model = converted(checkpoint_path(), fresh=False)
    options = argparse.Namespace(ram=ram, ctx=None, threads=None, language="en", allow_unsealed=False)
    introduction = "\n".join([WHAT_IT_IS, "", *precision_map(model), ""])

    def start(progress: object) -> Engine:
        engine = Engine.start(model.path, EngineSettings(ram_bytes=ram))
        engine.info = dataclasses.replace(engine.info, defaults=dataclasses.replace(engine.info.defaults, seed=seed))
        return engine

    plain = open_session(model.path, options, sealed=True, introduction=introduction)
    return dataclasses.replace(plain, start_engine=start)


async def photograph(chat: ChatSession, question: str) -> str:
    """The screen, as SVG, when the question has been answered."""
    app = ChatApp(chat)
    async with app.run_test(size=SIZE) as pilot:
        app.screen.query_one(Composer).insert(question)
        await pilot.press("enter")
        turns = app._chat._conversation.turns
        while not turns or turns[-1].state == "open":
            await pilot.pause(0.2)
        await pilot.pause(1)
        return app.export_screenshot(title="edgemed demo")


if __name__ == "__main__":
    main()
