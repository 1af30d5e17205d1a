"""`edgemed pull OWNER/NAME`: list a hub's GGUF repository and what fits this machine; with --file, download one."""

from __future__ import annotations

import argparse
import json
import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from edgemed.commands._print import show
from edgemed.errors import HubError, SetupError, UsageError
from edgemed.sizes import format_size

if TYPE_CHECKING:
    from edgemed.commands._progress import ProgressLine
    from edgemed.hub.repository import HubFile, Quantisation, Repository

SPARE = 0.85  # of the free memory, which the engine uses without --ram


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "Of all commands only this one and `convert OWNER/NAME` use a network; HF_ENDPOINT and HF_TOKEN name another "
        "hub and a login. An interrupted download is resumed by the same command: its bytes are in NAME.partial, and a "
        "file gets its name once it has the SHA-256 that the hub gives for it, the first part last."
    )
    parser.add_argument("repository", metavar="OWNER/NAME", help="the hub's repository")
    parser.add_argument(
        "--file",
        metavar="PATTERN",
        help="download this quantisation: its name, a part of it such as Q4_K_M, or a pattern",
    )
    parser.add_argument(
        "-o", "--output", metavar="DIR", type=Path, default=Path(), help="the folder to write to (default: this one)"
    )
    parser.add_argument("--revision", metavar="REV", help="the repository's branch, tag or commit")
    parser.add_argument("--overwrite", action="store_true", help="replace other files of these names")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def run(args: argparse.Namespace) -> int:
    from edgemed.hub.repository import NAME, list_repository

    if not NAME.fullmatch(args.repository):
        raise UsageError(f"{args.repository!r:.80} is not a hub's repository; write it as OWNER/NAME.")
    if not args.output.is_dir():
        raise UsageError(f"There is no folder {args.output}; make it first.")
    repository = list_repository(args.repository, args.revision)
    if args.file is None:
        return list_quantisations(args, repository)
    found = repository.find(args.file)
    try:
        paths = download(args, repository, found)
    except KeyboardInterrupt as interrupt:
        interrupt.add_note("give the same command again to resume")
        raise
    if args.json:
        print(json.dumps({"path": str(paths[0]), "parts": list(map(str, paths)), "size_bytes": found.size}, indent=1))
    else:
        show([f"{paths[0]}: {format_size(found.size)} in {_parts(found)}, every SHA-256 is the hub's."])
    return 0


def list_quantisations(args: argparse.Namespace, repository: Repository) -> int:
    """Print every quantisation with its size and how much of it this machine's memory holds."""
    from edgemed.engine.budget import available_bytes

    free = available_bytes()
    if args.json:
        told = {
            "repository": repository.name,
            "commit": repository.commit,
            "available_bytes": free,
            "quantisations": [
                {
                    "name": one.name,
                    "size_bytes": one.size,
                    "parts": [file.path for file in one.files],
                    "complete": one.complete,
                    "fits_memory": one.size <= SPARE * free,
                }
                for one in repository.quantisations
            ],
        }
        print(json.dumps(told, indent=1))
        return 0
    width = max(len(one.name) for one in repository.quantisations)
    show(
        [
            f"{repository.name} at {repository.commit[:12]}; {format_size(free)} of memory are free on this machine",
            *(
                f"  {one.name:{width}}  {format_size(one.size):>8}  {_parts(one):8}  {_fit(one, free)}"
                for one in repository.quantisations
            ),
            f"To download one: edgemed pull {repository.name} --file {repository.quantisations[0].name}",
        ]
    )
    return 0


def download(args: argparse.Namespace, repository: Repository, found: Quantisation) -> list[Path]:
    """Download every part that is not there yet, the first one last, so that no loader finds half a model.

    Raises HubError, SetupError or UsageError.
    """
    from edgemed.commands._progress import ProgressLine
    from edgemed.hub.fetch import fetch, has_digest
    from edgemed.outputs import check_outputs

    targets = {file: args.output / file.name for file in found.files}
    with ProgressLine() as line:
        waiting = []
        for file, target in reversed(targets.items()):
            checking = partial(line.update, "checking", total=file.size)
            if target.is_file() and has_digest(target, file, checking):
                continue
            check_outputs([target], overwrite=args.overwrite)
            waiting.append((file, target))
        if waiting:
            _refuse_other_family(repository, found.files[0])
        _refuse_full_disk(args.output, waiting)
        total, before = sum(file.size for file, _ in waiting), 0
        for file, target in waiting:
            fetch(repository, file, target, partial(_show, line, file.name, before, total))
            before += file.size
    return list(targets.values())


def _show(line: ProgressLine, name: str, before: int, total: int, at: int) -> None:
    line.update("downloading", before + at, total, detail=name)


def _refuse_other_family(repository: Repository, first: HubFile) -> None:
    """Raise HubError for a model that edgemed cannot run, before hours of downloading."""
    from edgemed.architectures import FAMILIES
    from edgemed.hub.fetch import architecture_of

    name, known = architecture_of(repository, first), sorted({family.GGUF_NAME for family in FAMILIES})
    if name is not None and name not in known:
        raise HubError(f"{first.name} holds the architecture {name}, but edgemed runs {' and '.join(known)} only.")


def _refuse_full_disk(folder: Path, waiting: list[tuple[HubFile, Path]]) -> None:
    from edgemed.outputs import partial_of

    there = sum(partial_of(target).stat().st_size for _, target in waiting if partial_of(target).is_file())
    needed = sum(file.size for file, _ in waiting) - there
    disk = os.statvfs(folder)
    if (free := disk.f_bavail * disk.f_frsize) < needed:
        raise SetupError(
            f"The download needs {format_size(needed)}, but only {format_size(free)} are free in {folder}; make room, "
            "or choose another folder with -o."
        )


def _parts(one: Quantisation) -> str:
    return "one file" if one.count == 1 else f"{one.count} parts"


def _fit(one: Quantisation, free: int) -> str:
    if not one.complete:
        return f"incomplete: only {len(one.files)} of its parts are there"
    if one.size <= SPARE * free:
        return "fits in memory"
    return f"{SPARE * free / one.size:.0%} fits in memory; the other experts are read from the disk"
