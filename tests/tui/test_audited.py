"""What is done on the screen and in line mode is in the vault's audit, without text."""

from __future__ import annotations

import asyncio
import io
import json
from pathlib import Path
from typing import Any

import pytest

from edgemed.chat.conversation import Conversation
from edgemed.errors import VaultError
from edgemed.tui.app import ChatApp
from edgemed.tui.kept import Kept
from edgemed.tui.plain.chat import PlainChat
from edgemed.vault.store import Store
from testing.fake_engine import FakeEngine
from tests.tui.driving import screen_text, send, session, shows, wait_until, write
from tests.tui.test_cased import fill_in
from tests.tui.test_kept import in_vault, unlocked
from tests.tui.vaults import PASSPHRASE, chat_on, entrance, make, make_vault

pytestmark = pytest.mark.slow


def rows(store: Store) -> list[dict[str, Any]]:
    return store._rows("SELECT * FROM audit ORDER BY sequence")


def details(row: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(row["details"] or "{}")
    return found


async def test_a_walk_through_the_chat_is_recorded(tmp_path: Path) -> None:
    folder, engine = make_vault(tmp_path / "vault"), FakeEngine(["Two of aspirin."], ["Rest."], ["Secret answer."])
    app = ChatApp(entrance=entrance(folder, engine))
    async with app.run_test(size=(100, 30)) as pilot:
        await unlocked(pilot)
        await fill_in(pilot, age="45", sex="M", allergies="penicillin")
        await write(pilot, "Chest pain", "enter")
        await shows(pilot, "Two of aspirin.")
        await pilot.press("f9")
        await shows(pilot, "edgemed report ")
        assert f"edgemed report {app.chat._conversation.turns[0].id[:8]} -o FILE" in screen_text(pilot)
        await pilot.press("escape")
        await write(pilot, "/audit", "enter")
        await shows(pilot, "header_changed", "fields=age sex allergies", "Head: 5:")
        await pilot.press("escape")
        await pilot.press("f2")
        await pilot.press("f12")
        await wait_until(pilot, lambda: app.hidden)
        send(pilot, "nothing like it\r")
        await shows(pilot, "Wrong.")
        send(pilot, f"{PASSPHRASE}\r")
        await wait_until(pilot, lambda: not app.hidden)
        await write(pilot, "72F fell at home", "enter")
        await shows(pilot, "New case?")
        await pilot.press("enter")
        await shows(pilot, "Rest.")
        await write(pilot, "/unsaved", "enter")
        await shows(pilot, "UNSAVED CHAT")
        await write(pilot, "Secret question", "enter")
        await shows(pilot, "Secret answer.")
        app.lock("command")
        await wait_until(pilot, lambda: app._exit)
    found = in_vault(folder, rows)
    assert [row["event"] for row in found] == [
        *("opened", "engine_started", "header_changed", "asked", "answered", "copied", "hidden", "refused", "shown"),
        *("new_case_asked", "new_case_declined", "asked", "answered", "asked", "answered", "locked"),
    ]
    by_event = {row["event"]: row for row in found[:12]}
    assert details(by_event["header_changed"])["fields"] == "age sex allergies"
    assert details(by_event["engine_started"])["n_ctx"] == 2048
    assert by_event["copied"]["turn_id"] == found[4]["turn_id"]
    assert details(by_event["copied"]) == {"question": 0, "incomplete": 0}
    assert len({row["case_id"] for row in found[2:6]} - {None}) == 1
    for row in found[13:15]:
        assert {name for name, value in row.items() if value is not None} == {
            *("sequence", "time", "event", "rules", "previous", "mac")
        }
    stored = json.dumps(found)
    assert not any(word in stored for word in ("Chest", "aspirin", "penicillin", "72F", "Secret", PASSPHRASE))


async def test_deleting_moving_and_purging_are_recorded(tmp_path: Path) -> None:
    vault, _ = make(tmp_path / "vault", PASSPHRASE)
    kept = await Kept.open(vault, PASSPHRASE)
    try:
        chat = Conversation(draft="half a question")
        await kept.keep(chat)
        await kept.move(chat.id, None, "Bed 4")
        from edgemed.tui.strings.vault import vault_strings

        (row,) = await kept.rows(set(), vault_strings("en"))
        await kept.delete([row], deleted=True)
        await kept.delete([row], deleted=False)
        await kept.delete([row], deleted=True)
        await kept.do(lambda store: store.connection.execute("UPDATE chats SET deleted = 1"))
        await kept.do(lambda store: store.connection.execute("UPDATE cases SET deleted = 1"))
        await kept.prepare()
        found = await kept.do(rows)
        assert [each["event"] for each in found] == ["opened", "moved", "deleted", "undeleted", "deleted", "purged"]
        assert {(each["chat_id"], each["case_id"]) for each in found[1:5]} == {(chat.id, row.case_id)}
        assert details(found[5]) == {"count": 2}
        assert kept.audit_head() == f"6:{found[5]['mac']}"
    finally:
        kept.close()


async def test_what_cannot_be_recorded_is_said_and_does_not_stop_the_chat(tmp_path: Path) -> None:
    async with chat_on(make_vault(tmp_path / "vault"), ["One."]).run_test() as pilot:
        await unlocked(pilot)
        app = pilot.app
        assert isinstance(app, ChatApp)
        kept = app.chat._kept
        assert kept is not None

        def refuse(*_: object) -> str:
            raise VaultError("The disk is full.")

        real = Store.record
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Store, "record", refuse)
            await kept.record("copied", None)
            await shows(pilot, "Not recorded in the audit: The disk is full.")
        assert Store.record is real
        await write(pilot, "Fever?", "enter")
        await shows(pilot, "One.")
        found = await kept.do(rows)
        assert [row["event"] for row in found[-3:]] == ["copied", "asked", "answered"]


def test_line_mode_is_recorded(tmp_path: Path) -> None:
    vault, _ = make(tmp_path / "vault", PASSPHRASE)
    kept = asyncio.run(Kept.open(vault, PASSPHRASE))
    lines = "/case allergies penicillin\n45M chest pain\n/copyboth\n72F fell\n\n30F rash\n/newcase\n/seen\n/audit\n"
    lines += "/unsaved\nSecret?\n/seen\n"
    engine = FakeEngine(["One."], ["Two."], ["Three."], ["Four."])
    writer = io.StringIO()
    chat = PlainChat(kept.joined_to(session(engine)), Conversation(), reader=io.StringIO(lines), writer=writer)
    try:
        chat.run()
        found = vault.do(rows).result()
    finally:
        kept.close()
    assert [row["event"] for row in found] == [
        *("opened", "engine_started", "header_changed", "asked", "answered", "copied"),
        *("new_case_asked", "new_case_declined", "asked", "answered", "new_case_asked", "new_case_taken"),
        *("asked", "answered", "asked", "answered"),
    ]
    assert writer.getvalue().count(f"edgemed report {found[-3]['turn_id'][:8]} -o FILE") == 1
    assert writer.getvalue().count("edgemed report") == 1
    assert "new_case_taken" in writer.getvalue()
    assert f"Head: 14:{found[13]['mac']}" in writer.getvalue()
    assert details(found[5]) == {"question": 1, "incomplete": 0}
