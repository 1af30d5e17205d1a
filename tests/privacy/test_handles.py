"""No handle that another program of the same user ever gets on a process of ours reads a planted word."""

from __future__ import annotations

import ctypes
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from edgemed.convert import convert
from edgemed.engine.process.job import Report
from edgemed.quant.plan import Plan
from testing.checkpoints import Shape, make_checkpoint
from testing.real_chat import Place
from tests.tui.vaults import PASSPHRASE, make_vault

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
_PR_CAPBSET_DROP, _CAPABILITIES = 24, 64
WORD = "zebrafish-3141"
READY = "ready"
ATTEMPTS = 4
WORKER, TEMPLATE = "edgemed.engine.process.worker", "edgemed.engine.process.template"

# A process that holds the word, as ours did before they forked: it closes itself, but a handle may be there already.
UNFORKED = f"""
import sys, time
time.sleep(0.1)
from edgemed import privacy
privacy.close_to_others()
word = sys.stdin.readline()
time.sleep(0.2)
print("{READY}", flush=True)
time.sleep(60)
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """It writes long answers, so that every process still lives when it is looked at."""
    folder = tmp_path_factory.mktemp("handles")
    shape = Shape(num_hidden_layers=2, max_position_embeddings=2048, ends_turns=False)
    convert(str(make_checkpoint(folder / "checkpoint", shape)), folder / "model.gguf", Plan.uniform(8.0))
    return folder / "model.gguf"


def read_by_others(
    command: list[str],
    *,
    until: str,
    ends: bool = False,
    answers: Sequence[tuple[str, str]] = (),
    words: Sequence[str] = (WORD,),
) -> dict[str, set[str]]:
    """Run the command beside a program that collects handles. Both have the same user and no rights beyond that, not
    even root's. Returns the words read through the handles of each program of which there were any."""
    typed = {"typed": f"{WORD}?\n", "ends": ends}
    request = json.dumps({"command": command, "until": until, "words": words, "answers": answers, **typed})
    done = subprocess.run(
        [sys.executable, "-m", "testing.handles", request],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=ROOT,
        preexec_fn=drop_rights,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, set[str]] = {}
    for program, handles, words in map(json.loads, done.stdout.splitlines()):
        assert handles > 0
        found.setdefault(program, set()).update(words)
    return found


def read_of_each(programs: set[str], attempt: Callable[[int], dict[str, set[str]]]) -> dict[str, set[str]]:
    """What `attempt` reads, tried again where no handle of one of the programs was got: on a busy machine its moment,
    between exec and the closing, may pass unseen. Words read in any attempt count."""
    found: dict[str, set[str]] = {}
    for number in range(ATTEMPTS):
        for program, words in attempt(number).items():
            found.setdefault(program, set()).update(words)
        if programs <= found.keys():
            break
    return found


def drop_rights() -> None:
    """Leave root's capabilities, CAP_SYS_PTRACE among them, out of the next program. Other users have none anyway."""
    for capability in range(_CAPABILITIES):
        ctypes.CDLL(None).prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)


def test_a_handle_from_before_a_process_closed_itself_reads_everything() -> None:
    found = read_by_others([sys.executable, "-c", UNFORKED], until=READY)
    assert found == {sys.executable: {WORD}}, "or the tests below prove nothing"


def test_a_chat(model: Path) -> None:
    """The short context ends the answer and not the chat."""
    command = [sys.executable, "-m", "edgemed.cli", "chat", str(model), "--ctx", "128", "--language", "en"]
    programs = {"edgemed.cli", WORKER, TEMPLATE}
    found = read_of_each(programs, lambda _: read_by_others(command, until="CUT OFF"))
    assert found == {program: set() for program in programs}


def test_a_chat_on_the_full_screen(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a vault, whose passphrase nobody reads either. The desktop helper never meets a word."""
    command = [sys.executable, "-m", "edgemed.cli", "chat", str(model), "--ctx", "128", "--language", "en"]
    answers = [("24 recovery words", f"{PASSPHRASE}\r"), ("ype a question", f"{WORD}? "), (WORD, "\r")]

    def chat(number: int) -> dict[str, set[str]]:
        place = Place(tmp_path / str(number))
        for name, value in {**place.environment, "TERM": "xterm-256color", "LC_ALL": "C.UTF-8"}.items():
            monkeypatch.setenv(name, value)
        place.vault.parent.mkdir(parents=True)
        make_vault(place.vault)
        return read_by_others(command, until="CUT OFF", answers=answers, words=(WORD, PASSPHRASE))

    programs = {"edgemed.cli", "edgemed.desktop.helper", WORKER, TEMPLATE}
    assert read_of_each(programs, chat) == {program: set() for program in programs}


def test_generate(model: Path) -> None:
    command = [sys.executable, "-m", "edgemed.cli", "generate", str(model), "-p", "-"]
    programs = {"edgemed.cli", WORKER, TEMPLATE}
    found = read_of_each(programs, lambda _: read_by_others(command, until="", ends=True))
    assert found == {program: set() for program in programs}


# The programs that start the two processes below close themselves and do not fork. One of them holds the word.

LONG_RENDERING = f"""
import json, subprocess, sys, time
from edgemed import privacy
privacy.close_to_others()
from edgemed.engine.process.launch import launch
loop = "{{% for i in range(3) %}}{{% for j in range(100000) %}}{{% endfor %}}{{% endfor %}}"
source = loop + "{{{{ messages[0].content }}}}"
messages = [("user", sys.stdin.readline())]
process = launch("{TEMPLATE}", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
request = dict(template=source, messages=messages, special_tokens=[], variables={{}})
answer, _ = process.communicate(json.dumps(request).encode())
assert b"{WORD}" in answer, answer
print("{READY}", flush=True)
time.sleep(60)
"""


def test_a_template(tmp_path: Path) -> None:
    found = read_by_others([sys.executable, "-c", LONG_RENDERING], until=READY)
    assert found == {sys.executable: {WORD}, TEMPLATE: set()}


JOB = f"""
import sys, time
from edgemed import privacy
privacy.close_to_others()
from edgemed.engine.process.job import run_job
run_job("tests.privacy.test_handles:keep_words", {{"path": sys.argv[1]}})
print("{READY}", flush=True)
time.sleep(60)
"""


def keep_words(request: dict[str, Any], report: Report) -> dict[str, Any]:
    """A job: hold a text for a while."""
    words = Path(request["path"]).read_text()
    time.sleep(0.3)
    return {"length": len(words)}


def test_a_job(tmp_path: Path) -> None:
    (tmp_path / "text").write_text(f"{WORD}, whose words are planted")
    found = read_by_others([sys.executable, "-c", JOB, str(tmp_path / "text")], until=READY, ends=True)
    assert found == {sys.executable: set(), "edgemed.engine.process.job": set()}
