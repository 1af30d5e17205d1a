"""`edgemed demo`: everything from the bundled checkpoint to the chat on a vault of fictitious patients.

The checkpoint is converted into the user's cache folder by the bundled plan, which gives some experts of each layer
more bits than others. An earlier conversion of the same checkpoint and plan is used again.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import edgemed
from edgemed import settings
from edgemed.clinical import language_of
from edgemed.commands._chat import add_chat_arguments, at_terminal, enter_screen, open_session
from edgemed.commands._demo_vault import WHAT_IT_IS, demo_entrance, make_demo_vault
from edgemed.commands._print import show
from edgemed.commands._vault_chat import enter
from edgemed.commands.inspect import precision_map, summary
from edgemed.demo import checkpoint_path
from edgemed.errors import ModelFileError, SetupError

if TYPE_CHECKING:
    from edgemed.model_file import ModelFile
    from edgemed.quant.plan import Plan

PACKAGE = Path(edgemed.__file__).parent
QUESTION = "What are the symptoms of diabetes?"
ANSWER_TOKENS = 120
SEED = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "The patients are made anew at each start, so nothing you enter is kept. Without a terminal it shows the plan, "
        "asks one question, prints the answer and exits."
    )
    parser.add_argument("--path", action="store_true", help="only print the folder of the bundled checkpoint")
    parser.add_argument("--fresh", action="store_true", help="convert again even if a converted file exists")
    add_chat_arguments(parser)


def run(args: argparse.Namespace) -> int:
    folder = checkpoint_path()
    if args.path:
        print(folder)
        return 0
    language = args.language = args.language or settings.load().language or language_of(os.environ)
    entered = enter_screen(args)
    first = entered.why == "started"
    if first:
        print(WHAT_IT_IS[language])
    model = converted(folder, fresh=args.fresh and first, quiet=not first)
    if at_terminal():
        vault = cache_folder() / "demo-vault"
        if first:
            make_demo_vault(vault)
        return enter(demo_entrance(args, entered, folder=vault, model=model.path, language=language), args, entered)
    show_plan(model)
    session = open_session(model.path, args, sealed=entered.sealed)
    from edgemed.tui.plain.chat import PlainChat

    return PlainChat(session).ask_once(QUESTION, max_tokens=ANSWER_TOKENS, seed=SEED)


def converted(folder: Path, *, fresh: bool, quiet: bool = False) -> ModelFile:
    """The checkpoint in `folder` as a model file in the cache. quiet: do not mention an earlier conversion. Raises what
    `convert` raises."""
    from edgemed.model_file import keys, open_model
    from edgemed.quant.plan import Plan

    plan = Plan.load(PACKAGE / "demo_plan.json")
    name = f"demo-{_digest(folder)[:12]}-{plan.digest[:12]}-format{keys.CURRENT_FORMAT}.gguf"
    target = cache_folder() / name
    if target.exists() and not fresh:
        try:
            model = open_model(target)
        except ModelFileError:
            pass  # damaged: convert again
        else:
            if not quiet:
                show([f"Already converted: {target}"])
            return model
    _convert(folder, target, plan)
    return open_model(target)


def cache_folder() -> Path:
    """The cache folder, by the XDG base directory specification; created if needed. Raises SetupError."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    folder = (Path(base) if Path(base).is_absolute() else Path.home() / ".cache") / "edgemed"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SetupError(f"The cache folder {folder} cannot be made ({error.strerror}); set XDG_CACHE_HOME.") from None
    return folder


def show_plan(model: ModelFile) -> None:
    """The precision of every layer and expert."""
    colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    show(["", *summary(model), ""])
    print("\n".join([*precision_map(model, colour=colour), ""]), flush=True)


def _convert(folder: Path, target: Path, plan: Plan) -> None:
    from edgemed.commands._progress import ProgressLine
    from edgemed.commands.convert import print_result, shown_on
    from edgemed.convert import convert

    with ProgressLine() as line:
        done = convert(str(folder), target, plan, overwrite=True, on_progress=shown_on(line))
    print_result(done)


def _digest(folder: Path) -> str:
    """SHA-256 over the names and contents of the folder's files."""
    state = hashlib.sha256()
    for file in sorted(path for path in folder.iterdir() if path.is_file()):
        state.update(f"{file.name}\0".encode())
        with file.open("rb") as stream:
            state.update(hashlib.file_digest(stream, "sha256").digest())
    return state.hexdigest()
