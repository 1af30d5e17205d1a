"""The first lines of a command that will hold a patient's words."""

from __future__ import annotations

import argparse
import sys

from edgemed import privacy
from edgemed.errors import SetupError
from edgemed.privacy.surroundings import close_inherited, network_stream


def close_process(args: argparse.Namespace, *, network: bool = False) -> bool:
    """Close this process to others and to the network. Call it first, while the process has one thread and no text.

    Returns True if the kernel enforces it. With `--allow-unsealed` what cannot be closed is a warning on standard
    error, otherwise it raises SetupError. network: the command calls `lock_down` later.
    """
    privacy.close_to_others()
    close_inherited()
    open_stream = network_stream()
    if open_stream and not args.allow_unsealed:
        raise SetupError(f"{open_stream}; start edgemed from a terminal or a pipe, or pass --allow-unsealed.")
    warnings = [f"{open_stream}." if open_stream else None]
    if not network:
        warnings.append(privacy.lock_down(allow_unsealed=args.allow_unsealed))
    for warning in filter(None, warnings):
        print(f"edgemed: {warning}", file=sys.stderr)
    return not any(warnings)
