"""A long computation on a model in a child process: `run_job("package.module:function", request, on_progress)`.

ggml aborts the process when an assertion fails, so models are only loaded in children. The child calls
function(request, report), where report(stage, done, total) reports progress, and returns a JSON object. Request and
result are JSON; arrays are passed in files that the request names. The child has no network access except to the RPC
server in the request's `offload` (the fields of an `Offload`), if there is one.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from typing import Any

from edgemed import privacy
from edgemed.engine.offload import Offload, reach
from edgemed.engine.process.child import LOG_LINES
from edgemed.engine.process.exit_reason import describe_exit, oom_kills
from edgemed.engine.process.failures import decode_failure, encode_failure
from edgemed.engine.process.launch import launch
from edgemed.errors import EngineDied
from edgemed.ggml import require_llama

Report = Callable[[str, int, int], None]


def no_report(stage: str, done: int, total: int) -> None:
    """Ignore the progress, for short jobs."""


def run_job(entry: str, request: Mapping[str, Any], on_progress: Report = no_report) -> dict[str, Any]:
    """Run a job and return its result.

    Raises the EdgemedError that the job raised, or EngineDied if its process ended early. On an interrupt (Ctrl+C) the
    child is ended first.
    """
    killed = oom_kills()
    read_end, write_end = os.pipe()
    with tempfile.TemporaryFile() as log, os.fdopen(read_end, "rb") as answers:
        try:
            child = launch(
                "edgemed.engine.process.job",
                entry,
                write_end,
                network=bool(request.get("offload", {}).get("rpc")),
                pass_fds=(write_end,),
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
            )
        finally:
            os.close(write_end)
        try:
            assert child.stdin is not None
            with child.stdin as stdin:
                stdin.write(json.dumps(request).encode())
            for line in answers:
                kind, *content = json.loads(line)
                match kind:
                    case "progress":
                        on_progress(*content)
                    case "done":
                        child.wait()
                        result: dict[str, Any] = content[0]
                        return result
                    case "failed":
                        raise decode_failure(*content)
        except BrokenPipeError:
            pass  # the child ended before it read its request; the reason is given below
        except BaseException:
            child.kill()
            raise
        finally:
            status = child.wait()
            answers.read()  # until the process that works has ended, too: it writes to files of ours
        log.seek(0)
        words = log.read().decode(errors="replace").splitlines()[-LOG_LINES:]
        gone = describe_exit(status, words, out_of_memory=oom_kills() > killed, what="The computation")
        raise EngineDied(gone)


def main(arguments: list[str]) -> int:
    """The child's side: read one request from standard input and run it."""
    entry, descriptor = arguments[0], int(arguments[1])
    module, _, function = entry.partition(":")
    with os.fdopen(descriptor, "w", encoding="ascii") as answers:

        def tell(*message: Any) -> None:
            answers.write(json.dumps(message) + "\n")
            answers.flush()

        try:
            request = json.load(sys.stdin.buffer)  # only settings and paths, no text of the user
            require_llama()
            reach(Offload(**request.get("offload", {})))
            privacy.lock_down(allow_unsealed=True)
            work = getattr(importlib.import_module(module), function)
            tell("done", work(request, lambda stage, done, total: tell("progress", stage, done, total)))
        except Exception as error:
            tell("failed", *encode_failure(error))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
