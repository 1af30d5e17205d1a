"""Take docs/images/chat.png, a real answer of the demonstration model in the real chat, or experts.png, `edgemed bench
--watch` on any model.

    .venv/bin/python recipes/screenshot.py "Are you a real doctor?" --seed 5
    .venv/bin/python recipes/screenshot.py --watch MODEL.gguf --ram 480

Run `edgemed demo` first: the screenshot uses its converted file. Needs rsvg-convert (Debian: librsvg2-bin) and a
monospaced font.
"""

import argparse
import asyncio
import dataclasses
import subprocess
from pathlib import Path

from textual.widgets import Static

from edgemed.chat.conversation import Conversation
from edgemed.commands._chat import add_chat_arguments, open_session
from edgemed.commands.bench import measure
from edgemed.commands.demo import WHAT_IT_IS, converted
from edgemed.commands.inspect import precision_map
from edgemed.demo import checkpoint_path
from edgemed.engine.process.client import Engine
from edgemed.engine.process.protocol import EngineSettings
from edgemed.tui.app import ChatApp
from edgemed.tui.bench import WatchApp
from edgemed.tui.session import ChatSession
from edgemed.tui.widgets.composer import Composer

PICTURES = Path(__file__).parents[1] / "docs" / "images"
SIZE = (92, 40)
WATCH_SIZE = (96, 43)
WATCH_SECONDS = 4.0
WIDTH_PIXELS = 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("question", nargs="?", default="What are the symptoms of asthma?")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--ram", type=int, default=1024, help="MiB")
    parser.add_argument("--watch", type=Path, metavar="MODEL", help="show the live expert map of this model")
    args = parser.parse_args()
    ram = args.ram << 20
    if args.watch:
        svg, picture = asyncio.run(photograph_experts(args.watch, ram)), PICTURES / "experts.png"
    else:
        svg, picture = asyncio.run(photograph(session(args.seed, ram), args.question)), PICTURES / "chat.png"
    # Without this attribute rsvg-convert drops the leading spaces of every run of text.
    svg = svg.replace("<text ", '<text xml:space="preserve" ')
    PICTURES.mkdir(exist_ok=True)
    subprocess.run(["rsvg-convert", "-w", str(WIDTH_PIXELS), "-o", str(picture)], input=svg.encode(), check=True)


def session(seed: int, ram: int) -> ChatSession:
    """Return a chat session of the demonstration with a fixed seed."""
    model = converted(checkpoint_path(), fresh=False)
    parser = argparse.ArgumentParser()
    add_chat_arguments(parser)
    options = parser.parse_args(["--language", "en"])
    introduction = "\n".join([WHAT_IT_IS, "", *precision_map(model), ""])

    def start(progress: object) -> Engine:
        engine = Engine.start(model.path, EngineSettings(ram_bytes=ram))
        engine.info = dataclasses.replace(engine.info, defaults=dataclasses.replace(engine.info.defaults, seed=seed))
        return engine

    plain = open_session(model.path, options, sealed=True, introduction=introduction)
    return dataclasses.replace(plain, start_engine=start)


async def photograph(chat: ChatSession, question: str) -> str:
    """Return the screen as SVG after the question has been answered."""
    conversation = Conversation()
    app = ChatApp(chat, conversation)
    async with app.run_test(size=SIZE) as pilot:
        app.screen.query_one(Composer).insert(question)
        await pilot.press("enter")
        turns = conversation.turns
        while not turns or conversation.open_turn:
            await pilot.pause(0.2)
        await pilot.pause(1)
        return app.export_screenshot(title="edgemed demo")


async def photograph_experts(model: Path, ram: int) -> str:
    """Return the screen of `edgemed bench --watch` as SVG, some seconds after its warm-up."""
    with Engine.start(model, EngineSettings(ram_bytes=ram, n_ctx=1024)) as engine:
        app: WatchApp[object] = WatchApp(engine, lambda say: measure(engine, 100, say))
        async with app.run_test(size=WATCH_SIZE) as pilot:
            while "Answer" not in str(app.query_one("#doing", Static).content):
                await pilot.pause(0.2)
            await pilot.pause(WATCH_SECONDS)
            svg = app.export_screenshot(title="edgemed bench --watch")
            await pilot.press("escape")
    return svg


if __name__ == "__main__":
    main()
