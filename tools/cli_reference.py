"""Write docs/cli.md from the commands' own --help; with --check, fail if the file is stale.

Run as `make docs`.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

os.environ["COLUMNS"] = "100"

from edgemed.cli import VERBS, build_parser

TARGET = Path(__file__).parent.parent / "docs" / "cli.md"
HEAD = """# Command reference

Written by `make docs` from the commands themselves; edit their help texts, not this page.
Every command ends with exit code 0 (done), 1 (failed, with one sentence), 2 (wrong usage), 130 (interrupted) or
128 plus the number of the signal that ended it.
"""


def reference() -> str:
    parser = build_parser("*")
    verbs = next(a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    parts = [HEAD, block("edgemed", parser)]
    parts += [block(f"edgemed {verb}", verbs.choices[verb]) for verb in VERBS]
    return "\n".join(parts)


def block(title: str, parser: argparse.ArgumentParser) -> str:
    return f"## {title}\n\n```text\n{parser.format_help()}```\n"


def main() -> int:
    fresh = reference()
    if "--check" not in sys.argv:
        TARGET.write_text(fresh, encoding="utf-8")
    elif not TARGET.exists() or TARGET.read_text(encoding="utf-8") != fresh:
        print("docs/cli.md is stale; run `make docs`.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
