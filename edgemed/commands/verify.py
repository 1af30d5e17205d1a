"""`edgemed verify MODEL`: read the whole file and compare every checksum."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from edgemed.commands._print import show
from edgemed.errors import ChecksumError

if TYPE_CHECKING:
    from edgemed.model_file import ModelFile

NAMED = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "Checksums detect accidents, not malice. A stock GGUF has no checksums: it and all its answers are UNVERIFIED."
    )
    parser.add_argument("model", metavar="MODEL", type=Path, help="the GGUF file")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def run(args: argparse.Namespace) -> int:
    from edgemed.commands._progress import ProgressLine
    from edgemed.model_file import open_model
    from edgemed.model_file.integrity import check

    model = open_model(args.model)
    with ProgressLine() as line:
        found = check(model, lambda done, total: line.update("verifying", done, total))
    if args.json:
        result = {
            "path": str(model.path),
            "verified": model.verified,
            "header_verified": model.header_verified,
            "checked": found.checked,
            "damaged": found.damaged,
        }
        print(json.dumps(result, indent=1))
    if found.damaged:
        names = ", ".join(found.damaged[:NAMED]) + (", ..." if len(found.damaged) > NAMED else "")
        raise ChecksumError(
            f"{model.path.name} is damaged: {len(found.damaged)} of {found.checked} checks fail ({names}); "
            "restore it from a copy, or convert the checkpoint again."
        )
    if not args.json:
        show([_verdict(model, found.checked)])
    return 0


def _verdict(model: ModelFile, checked: int) -> str:
    from edgemed.model_file import keys

    name = model.path.name
    if not checked:
        return f"{name}: UNVERIFIED, it has no checksums."
    if not model.verified:
        return f"{name}: the digest over all weights matches, but UNVERIFIED in use, because experts have no checksums."
    if not model.header_verified:
        return (
            f"{name}: intact, {checked:,} checksums match. Its format {keys.FIRST_FORMAT} has no checksum for "
            f"the header "
            "(vocabulary, settings); convert the checkpoint again to get one."
        )
    return f"{name}: intact, {checked:,} checksums match."
