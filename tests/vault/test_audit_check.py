"""Each way to tamper with the audit, and what of it is found; what is not found is tested too."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edgemed.errors import UsageError, VaultBusy
from edgemed.vault.audit import KEY, MAC_DIGITS, Entry, MacKeys
from edgemed.vault.audit_check import Broken, Checked, check_audit, each_row, parsed_head
from edgemed.vault.backup import back_up, restore
from edgemed.vault.folder import create, unlock
from edgemed.vault.rows import Snapshot
from edgemed.vault.store import Store
from testing import vault_fixture
from tests.vault.conftest import CHEAP, PASSPHRASE
from tests.vault.memory import memory_store

ROWS = 8
TRIGGERS = ("audit_rows_stay", "audit_rows_do_not_change")


def append(store: Store, count: int = ROWS) -> list[str]:
    return [store.record(Entry.of(f"event {number}", None, "rules", {"number": number})) for number in range(count)]


def tamper(store: Store, *statements: str) -> None:
    """What a database tool can do: without the triggers, and without computing a MAC."""
    for trigger in TRIGGERS:
        store.connection.execute(f"DROP TRIGGER IF EXISTS {trigger}")
    for statement in statements:
        store.connection.execute(statement)


def forge(store: Store, first: int = 1) -> None:
    """What the holder of the passphrase can do: compute the chain anew from a row on."""
    rows = list(each_row(store))
    key = store.audit_key()
    assert key
    keys = MacKeys(key)
    previous = ""
    for row in rows:
        if row["sequence"] >= first:
            row["previous"] = previous
            row["mac"] = keys.of_row(row)
            tamper(
                store,
                f"UPDATE audit SET previous = '{previous}', mac = '{row['mac']}' WHERE sequence = {row['sequence']}",
            )
        previous = row["mac"]


@pytest.fixture
def store() -> Iterator[Store]:
    with memory_store() as made:
        yield made


def faults(store: Store, head: str | None = None) -> list[tuple[int, str]]:
    checked = check_audit(store, parsed_head(head) if head else None)
    assert checked.whole == (not checked.broken)
    return [(broken.sequence, broken.fault) for broken in checked.broken]


def test_a_whole_chain(store: Store) -> None:
    assert check_audit(store) == Checked()
    heads = append(store)
    assert check_audit(store) == Checked(rows=ROWS, head=heads[-1])
    for head in heads:
        assert faults(store, head) == []


@pytest.mark.parametrize(
    "column", ["time", "event", "rules", "who", "case_id", "question", "details", "seed", "previous", "mac"]
)
def test_an_edited_row_is_found(store: Store, column: str) -> None:
    append(store)
    tamper(store, f"UPDATE audit SET {column} = {'1' if column == 'time' else repr('0' * 32)} WHERE sequence = 4")
    found = faults(store)
    assert (4, "changed") in found
    assert {sequence for sequence, _ in found} <= {4, 5}


def test_a_value_that_was_removed_is_found(store: Store) -> None:
    append(store)
    tamper(store, "UPDATE audit SET details = NULL WHERE sequence = 4")
    assert faults(store) == [(4, "changed")]


def test_a_row_deleted_in_the_middle_is_found(store: Store) -> None:
    append(store)
    tamper(store, "DELETE FROM audit WHERE sequence = 4")
    assert faults(store) == [(5, "missing before")]


def test_a_row_deleted_at_the_start_is_found(store: Store) -> None:
    append(store)
    tamper(store, "DELETE FROM audit WHERE sequence = 1")
    assert faults(store) == [(2, "missing before")]


def test_deleted_and_numbered_anew_is_found(store: Store) -> None:
    append(store)
    tamper(
        store,
        "DELETE FROM audit WHERE sequence = 4",
        *(f"UPDATE audit SET sequence = {number - 1} WHERE sequence = {number}" for number in range(5, ROWS + 1)),
    )
    assert {(number, "changed") for number in range(4, ROWS)} < set(faults(store))


def test_swapped_rows_are_found(store: Store) -> None:
    append(store)
    tamper(
        store,
        "UPDATE audit SET sequence = 100 WHERE sequence = 4",
        "UPDATE audit SET sequence = 4 WHERE sequence = 5",
        "UPDATE audit SET sequence = 5 WHERE sequence = 100",
    )
    assert {(4, "changed"), (5, "changed")} < set(faults(store))


def test_an_inserted_row_is_found(store: Store) -> None:
    append(store)
    (last,) = store._rows("SELECT mac FROM audit WHERE sequence = ?", (ROWS,))
    tamper(
        store,
        f"""INSERT INTO audit (sequence, time, event, rules, previous, mac)
        VALUES ({ROWS + 1}, 1, 'copied', 'rules', '{last["mac"]}', '{"0" * MAC_DIGITS}')""",
    )
    assert faults(store) == [(ROWS + 1, "changed")]


def test_a_row_of_another_vault_is_found(store: Store) -> None:
    append(store)
    with memory_store() as other:
        append(other)
        (row,) = other._rows("SELECT mac, previous FROM audit WHERE sequence = 1")
    tamper(store, f"UPDATE audit SET mac = '{row['mac']}' WHERE sequence = 1")
    assert faults(store) == [(1, "changed"), (2, "not after the one before")]


def test_a_cut_tail_is_found_with_a_printed_head_only(store: Store) -> None:
    heads = append(store)
    tamper(store, f"DELETE FROM audit WHERE sequence > {ROWS - 3}")
    assert faults(store) == []
    assert faults(store, heads[-1]) == [(ROWS, "head is missing")]
    assert faults(store, heads[2]) == [], "an earlier head says nothing about later rows"
    append(store, 5)
    assert faults(store) == []
    assert faults(store, heads[-1]) == [(ROWS, "head is another")]


def test_the_holder_of_the_passphrase_can_write_everything_anew_but_not_a_printed_head(store: Store) -> None:
    heads = append(store)
    tamper(store, "UPDATE audit SET event = 'nothing happened' WHERE sequence = 4")
    forge(store)
    assert faults(store) == []
    assert faults(store, heads[2]) == []
    assert faults(store, heads[-1]) == [(ROWS, "head is another")]


@pytest.mark.parametrize(
    "statement", [f"DELETE FROM settings WHERE name = '{KEY}'", f"UPDATE settings SET value = 'x' WHERE name = '{KEY}'"]
)
def test_a_lost_key_is_found(store: Store, statement: str) -> None:
    append(store, 2)
    tamper(store, statement)
    assert faults(store) == [(1, "changed"), (2, "changed")]
    append(store, 1)
    assert faults(store) == [(1, "changed"), (2, "changed")]


def test_a_stored_text_that_is_not_the_recorded_one_is_found(store: Store) -> None:
    chat = vault_fixture.conversation(None)
    store.keep(Snapshot.of(chat))
    for turn in chat.all_turns:
        store.record(Entry.asked(chat, turn, ""))
        store.record(Entry.answered(chat, turn, ""))
    assert check_audit(store).texts == len(chat.all_turns)
    store._write("UPDATE answers SET answer = 'Calcium gluconate 100 %' WHERE answer LIKE 'Calcium%'")
    checked = check_audit(store)
    assert (checked.broken, checked.altered, checked.whole) == ([], ["3" * 32], False)
    store.record(Entry.asked(chat, chat.turns[1], ""))  # it is continued, and not yet ended
    assert check_audit(store).whole


@pytest.mark.parametrize("text", ["", "12", "12:", "0:" + "a" * 32, "1:" + "a" * 31, "1:" + "g" * 32])
def test_a_malformed_head_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="SEQUENCE:MAC"):
        parsed_head(text)


def test_a_typed_head_may_have_capitals_and_spaces() -> None:
    assert parsed_head(f" 12:{'AB' * 16}\n") == (12, "ab" * 16)


# --- the vault around it ---


def in_vault(folder: Path, work: Callable[[Store], object], secret: str = PASSPHRASE) -> object:
    vault = unlock(folder, secret)
    try:
        return vault.do(work).result()
    finally:
        vault.close()


def checked(folder: Path, head: str | None = None, secret: str = PASSPHRASE) -> list[Broken]:
    found = in_vault(folder, lambda store: check_audit(store, parsed_head(head) if head else None), secret)
    assert isinstance(found, Checked)
    return found.broken


@pytest.mark.slow
def test_a_new_passphrase_new_words_and_a_new_key_keep_the_chain_and_its_heads(tmp_path: Path) -> None:
    vault, _ = create(tmp_path / "vault", PASSPHRASE, cost=CHEAP)
    head = vault.do(append).result()[-1]
    vault.change_passphrase(PASSPHRASE, "another long passphrase")
    vault.new_recovery_words("another long passphrase")
    vault.do(append).result()
    vault.rekey("another long passphrase")
    vault.do(append).result()
    vault.close()
    assert checked(tmp_path / "vault", head, "another long passphrase") == []


@pytest.mark.slow
def test_a_restored_backup_is_found_with_a_printed_head_only(tmp_path: Path) -> None:
    vault, _ = create(tmp_path / "vault", PASSPHRASE, cost=CHEAP)
    early = vault.do(append).result()[-1]
    back_up(vault, tmp_path / "backup")
    late = vault.do(append).result()[-1]
    vault.close()
    assert checked(tmp_path / "vault", early) == checked(tmp_path / "vault", late) == []
    restore(tmp_path / "backup", tmp_path / "vault", PASSPHRASE)
    assert checked(tmp_path / "vault") == []
    assert checked(tmp_path / "vault", early) == []
    assert checked(tmp_path / "vault", late) == [Broken(2 * ROWS, "head is missing")]
    in_vault(tmp_path / "vault", append)
    assert checked(tmp_path / "vault") == []
    assert checked(tmp_path / "vault", late) == [Broken(2 * ROWS, "head is another")]


def test_two_programs_cannot_append_to_one_chain(tmp_path: Path) -> None:
    vault, _ = create(tmp_path / "vault", PASSPHRASE, cost=CHEAP)
    try:
        vault.do(append).result()
        with pytest.raises(VaultBusy):
            unlock(tmp_path / "vault", PASSPHRASE)
    finally:
        vault.close()
    assert checked(tmp_path / "vault") == []
