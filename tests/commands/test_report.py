"""`edgemed report`: what the file holds, and that the turn can be computed again from it."""

from __future__ import annotations

import dataclasses
import json
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from edgemed.chat.conversation import Conversation, Turn
from edgemed.chat.service import ask
from edgemed.clinical.case import CaseHeader
from edgemed.clinical.region import Region
from edgemed.engine.process.client import Engine
from edgemed.engine.process.protocol import EngineSettings, Sampling
from edgemed.vault.folder import Vault, create, unlock
from edgemed.vault.incident import SAME_ANSWER
from edgemed.vault.journal import Journal
from edgemed.vault.recorder import Recorder
from testing.fake_engine import FakeEngine
from tests.commands.test_vault import CHEAP, PASSPHRASE
from tests.engine.conftest import model_path, models

__all__ = ["model_path", "models"]

pytestmark = pytest.mark.slow

TEXTS = ("What is", "fever", "Two paracetamol", "PENICILLIN", "Zhang", "Be brief")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    return tmp_path / ".local/share/edgemed/vault"


def report(*words: str | Path, said: str = PASSPHRASE) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "edgemed.cli", "report", *map(str, words)]
    return subprocess.run(command, input=said, capture_output=True, text=True, timeout=60)


def case(vault: Vault) -> Conversation:
    """A chat in a case with a header, a region and a system message."""
    header = CaseHeader(age="54", allergies="PENICILLIN", initials="Zhang")
    case_id = vault.do(lambda store: store.new_case("Zhang", header.dump())).result()
    return Conversation(system="Be brief.", case_id=case_id, header=header, region=Region("mmol/L", language="en"))


def answer(vault: Vault, engine: Any, chat: Conversation, question: str, sampling: Sampling | None = None) -> Turn:
    recorder = Recorder(vault, "abc123")
    recorder.engine_started(engine.info).result()
    turn = chat.ask(question, "brief")
    list(ask(engine, chat, turn, sampling, [recorder, Journal(vault)]))
    return turn


def written(path: Path) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(path.read_text())
    return told


def test_a_report_has_what_a_reconstruction_needs_and_no_text(place: Path, tmp_path: Path) -> None:
    vault, _ = create(place, PASSPHRASE, cost=CHEAP)
    chat = case(vault)
    first = answer(vault, FakeEngine(["Two paracetamol."]), chat, "What is a fever?")
    Recorder(vault, "abc123").record("flag_shown", chat, rule="SEPSIS-1", turn=first.id).result()
    answer(vault, FakeEngine(["Two paracetamol."]), chat, "And then?")
    vault.close()
    file = tmp_path / "incident.json"
    told = report(first.id[:8], "-o", file)
    assert told.returncode == 0, told.stderr
    assert SAME_ANSWER[False] in told.stdout
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    found = written(file)
    assert not any(text in file.read_text() for text in TEXTS)
    assert found["turn"]["id"] == first.id
    assert found["turn"]["length"] == "brief"
    assert found["computed"]["prompt_digest"] == first.prompt_digest
    assert found["computed"]["seed"] == first.seed
    assert found["computed"]["sampling"]["top_k"] == 20
    assert found["engine"]["n_ctx"] == 2048
    assert found["told"] == {
        "length": "brief",
        "header": "age allergies initials",
        "units": "mmol/L",
        "language": "en",
        "system_message": True,
        "messages": 2,
    }
    assert found["unchanged_since"] == {"prompt": True, "question": True, "answer": True}
    assert (found["rules"], found["switches"], found["text"]) == ("abc123", [], None)
    assert found["audit"]["whole"]
    flags = [row for row in found["events"] if row["event"] == "flag_shown"]
    assert [(row["details"], row["turn_id"]) for row in flags] == [({"rule": "SEPSIS-1"}, first.id)]
    assert found["machine"]
    vault = unlock(place, PASSPHRASE)
    events = vault.do(lambda store: [row[0] for row in store.connection.execute("SELECT event FROM audit")]).result()
    vault.close()
    assert events[-1] == "reported"
    assert report("-o", tmp_path / "last.json").returncode == 0
    assert written(tmp_path / "last.json")["turn"]["parent"] == first.id


def test_a_changed_header_is_told(place: Path, tmp_path: Path) -> None:
    vault, _ = create(place, PASSPHRASE, cost=CHEAP)
    chat = case(vault)
    answer(vault, FakeEngine(["Two paracetamol."]), chat, "What is a fever?")
    assert chat.case_id
    other = CaseHeader(allergies="latex").dump()
    vault.do(lambda store: store.set_header(str(chat.case_id), other)).result()
    vault.close()
    assert report("-o", tmp_path / "incident.json").returncode == 0
    assert written(tmp_path / "incident.json")["unchanged_since"] == {"prompt": False, "question": True, "answer": True}


def test_text_is_written_only_after_a_word(place: Path, tmp_path: Path) -> None:
    vault, _ = create(place, PASSPHRASE, cost=CHEAP)
    chat = case(vault)
    answer(vault, FakeEngine(["Two paracetamol."]), chat, "What is a fever?")
    vault.close()
    file = tmp_path / "incident.json"
    told = report("-o", file, "--with-text", said=f"{PASSPHRASE}\nyes\n")
    assert told.returncode == 2
    assert "it is not encrypted" in told.stderr
    assert not file.exists()
    told = report("-o", file, "--with-text", said=f"{PASSPHRASE}\ntext\n")
    assert told.returncode == 0, told.stderr
    assert "holds the questions and the answer, and it is not encrypted." in told.stdout
    text = written(file)["text"]
    assert text["messages"][0] == {"role": "system", "content": "Be brief."}
    assert "PENICILLIN" in text["messages"][1]["content"]
    assert text["answer"] == "Two paracetamol."
    assert "Zhang" not in json.dumps(text), "the header's identity was in no prompt"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["deadbeef", "-o", "x.json"], "No answer in this vault has an id that begins with deadbeef"),
        (["-o", "x.json"], "There is no answer in this vault yet"),
    ],
)
def test_no_such_answer(place: Path, tmp_path: Path, words: list[str], sentence: str) -> None:
    create(place, PASSPHRASE, cost=CHEAP)[0].close()
    told = report(*[tmp_path / word if word.endswith(".json") else word for word in words])
    assert told.returncode == 1
    assert sentence in told.stderr
    assert told.stderr.count("\n") == 1
    assert not list(tmp_path.glob("x.json*"))


def test_a_turn_is_computed_again_from_its_report(place: Path, tmp_path: Path, model_path: Path) -> None:
    """Without text in the report, from the vault; with text, the report has the same messages. By another engine."""
    vault, _ = create(place, PASSPHRASE, cost=CHEAP)
    chat = case(vault)
    with Engine.start(model_path, EngineSettings(threads=1)) as engine:
        answer(vault, engine, chat, "What is a fever?", Sampling(max_tokens=20))
        turn = answer(vault, engine, chat, "And then?", Sampling(max_tokens=20, seed=7))
    vault.close()
    files = tmp_path / "text.json", tmp_path / "clear.json"
    assert SAME_ANSWER[True] in report("-o", files[0], "--with-text", said=f"{PASSPHRASE}\ntext\n").stdout
    assert report("-o", files[1]).returncode == 0
    with_text, clear = map(written, files)
    vault = unlock(place, PASSPHRASE)
    loaded = vault.do(lambda store: store.load(clear["turn"]["chat"])).result()
    vault.close()
    told = clear["told"]
    loaded.region = Region(told.get("units"), told.get("drug_names"), told.get("answers_in"), told["language"])
    last = next(each for each in loaded.all_turns if each.id == clear["turn"]["id"])
    settings = EngineSettings(n_ctx=clear["engine"]["n_ctx"], threads=clear["engine"]["threads"])
    with Engine.start(model_path, settings) as engine:
        assert engine.info.weights_digest == with_text["computed"]["weights_digest"]
        assert with_text["text"]["messages"] == [dataclasses.asdict(each) for each in loaded.messages(last)]
        sampling = dataclasses.replace(Sampling(**clear["computed"]["sampling"]), seed=clear["computed"]["seed"])
        again = loaded.regenerate(last)
        list(ask(engine, loaded, again, sampling))
    assert (again.prompt_digest, again.raw) == (turn.prompt_digest, turn.raw)
    assert with_text["text"]["answer"] == turn.raw
    assert with_text["computed"] == clear["computed"]
    assert again.prompt_digest == clear["computed"]["prompt_digest"]
