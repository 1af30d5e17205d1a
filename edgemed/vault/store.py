"""What the vault keeps: cases, chats, turns, drafts and settings, as functions over one connection.

Every method is one transaction, on the vault's thread:

    chats = await asyncio.wrap_future(vault.do(lambda store: store.chats()))

Titles, cases and pins of stored chats belong to the methods here: `keep` writes them for a new chat only.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from edgemed.chat.conversation import Conversation, Queued
from edgemed.clinical.case import CaseHeader
from edgemed.errors import VaultError
from edgemed.vault.audit import Audit
from edgemed.vault.catalogue import Catalogue
from edgemed.vault.rows import Kind, Snapshot, answer_row, microseconds, moment, question_row, storable, turn_of
from edgemed.vault.search import Found

_CHAT = """SELECT chats.id, case_id, chats.title, system, draft, header
    FROM chats LEFT JOIN cases ON cases.id = case_id WHERE chats.id = ?"""


class Store(Catalogue, Audit):
    """Used on the vault's thread only. Errors of the database become VaultErrors in `Vault.do`."""

    def recover(self) -> None:
        """Mark the answers that were open when the program ended. Called once, when the vault is opened."""
        with self._transaction():
            self._write("UPDATE answers SET state = 'interrupted' WHERE state = 'open'")

    # --- conversations ---

    def load(self, chat_id: str) -> Conversation:
        """The conversation with all its turns. Raises VaultError if it is not there."""
        for chat in self._rows(_CHAT, (chat_id,)):
            turns = list(
                self._rows(
                    "SELECT * FROM turns JOIN answers USING (place) WHERE chat_id = ? ORDER BY place", (chat_id,)
                )
            )
            queued = self._rows("SELECT question, length FROM queued WHERE chat_id = ? ORDER BY place", (chat_id,))
            return Conversation(
                **chat | {"header": CaseHeader.load(chat["header"] or "")},
                queued=[Queued(row["question"], row["length"]) for row in queued],
                turns=map(turn_of, turns),
                shown=[row["id"] for row in turns if row["shown"]],
            )
        raise VaultError("This chat is no longer in the vault; choose another one.")

    def keep(self, chat: Snapshot) -> None:
        """Write a chat's draft, its queued questions, which branch is shown, and the turns that are not stored yet.

        A chat without any of these is not stored; an earlier, empty one is removed.
        """
        with self._transaction():
            self._keep(chat)

    def begin(self, chat: Snapshot, answer: Mapping[str, Any]) -> None:
        """`keep`, then write the answer of a turn that is about to be sent (`rows.answer_row`)."""
        with self._transaction():
            self._keep(chat)
            self._write_answer(answer)
            self._write("UPDATE chats SET changed = :now WHERE id = :id", {"now": self._now(), "id": chat.id})

    def write_answer(self, answer: Mapping[str, Any]) -> None:
        """Replace the stored answer of a turn. Does nothing if the turn has been erased."""
        with self._transaction():
            self._write_answer(answer)

    def save_draft(self, chat_id: str, draft: str) -> None:
        """Replace the draft of a stored chat."""
        with self._transaction():
            self._save_draft(chat_id, draft)

    def note(self, turn_id: str, note: str, reviewed_by: str = "", reviewed: datetime | None = None) -> None:
        """Replace the user's note on a turn, and who reviewed it when. Does nothing if the turn has been erased."""
        row = {"id": turn_id, "note": storable(note), "reviewed_by": storable(reviewed_by), "now": self._now()}
        row["reviewed"] = None if reviewed is None else microseconds(reviewed)
        with self._transaction():
            self._write(
                "UPDATE turns SET note = :note, reviewed_by = :reviewed_by, reviewed = :reviewed WHERE id = :id", row
            )
            self._write("UPDATE chats SET changed = :now WHERE id = (SELECT chat_id FROM turns WHERE id = :id)", row)

    def delete_turn(self, turn_id: str) -> None:
        """Erase a turn that was withdrawn (`Conversation.withdraw`). Its newest sibling is shown instead."""
        with self._transaction():
            rows = self._rows("SELECT chat_id, parent FROM turns WHERE id = ?", (turn_id,))
            self._write("DELETE FROM turns WHERE id = :id", {"id": turn_id})
            for row in rows:
                self._write(
                    """UPDATE turns SET shown = 1 WHERE place =
                    (SELECT max(place) FROM turns WHERE chat_id = :chat_id AND parent IS :parent)""",
                    row,
                )

    def _keep(self, chat: Snapshot) -> None:
        known = {row["id"] for row in self._rows("SELECT id FROM turns WHERE chat_id = ?", (chat.id,))}
        if not (known or chat.turns or chat.draft.strip() or chat.queued or chat.title or chat.case_id):
            self._write("DELETE FROM chats WHERE id = :id", {"id": chat.id})
            return
        self._write(
            """INSERT INTO chats (id, case_id, title, system, draft, created, changed)
            VALUES (:id, (SELECT id FROM cases WHERE id = :case_id), :title, :system, '', :now, :now)
            ON CONFLICT (id) DO UPDATE SET system = excluded.system WHERE system IS NOT excluded.system""",
            {
                "id": chat.id,
                "case_id": chat.case_id,
                "title": storable(chat.title),
                "system": None if chat.system is None else storable(chat.system),
                "now": self._now(),
            },
        )
        self._save_draft(chat.id, chat.draft)
        self._keep_queued(chat)
        for turn in chat.turns:
            if turn.id not in known:
                row = question_row(turn, chat.id) | {"shown": 0}
                columns = ", ".join(row)
                self._write(f"INSERT INTO turns ({columns}) VALUES (:{', :'.join(row)})", row)
                self._write_answer(answer_row(turn))
        shown = {"chat_id": chat.id, "shown": json.dumps(sorted(chat.shown))}
        self._write(
            """UPDATE turns SET shown = NOT shown
            WHERE chat_id = :chat_id AND shown != (id IN (SELECT value FROM json_each(:shown)))""",
            shown,
        )

    def _save_draft(self, chat_id: str, draft: str) -> None:
        self._write(
            "UPDATE chats SET draft = :draft, changed = :now WHERE id = :id AND draft != :draft",
            {"id": chat_id, "draft": storable(draft), "now": self._now()},
        )

    def _keep_queued(self, chat: Snapshot) -> None:
        stored = self._rows("SELECT question, length FROM queued WHERE chat_id = ? ORDER BY place", (chat.id,))
        wanted = [{"question": storable(queued.text), "length": queued.length} for queued in chat.queued]
        if stored != wanted:
            self._write("DELETE FROM queued WHERE chat_id = :id", {"id": chat.id})
            for place, row in enumerate(wanted):
                self._write(
                    "INSERT INTO queued (chat_id, place, question, length) VALUES (:id, :place, :question, :length)",
                    row | {"id": chat.id, "place": place},
                )

    def _write_answer(self, answer: Mapping[str, Any]) -> None:
        columns = [name for name in answer if name != "id"]
        self._write(
            f"""INSERT OR REPLACE INTO answers (place, {", ".join(columns)})
            SELECT place, :{", :".join(columns)} FROM turns WHERE id = :id""",
            answer,
        )

    def texts(self, kind: Kind | None = None, id: str | None = None) -> list[Found]:
        """The texts that a search looks through: all of them, those of a case with its chats, or those of a chat."""
        case = "AND cases.id = :id" if kind == "cases" else ""
        chat = "AND chats.id = :id" if kind == "chats" else ""
        rows = self.connection.execute(
            f"""WITH
            living_cases AS (SELECT * FROM cases WHERE deleted IS NULL {case} {"AND 0" if chat else ""}),
            living AS (SELECT chats.* FROM chats LEFT JOIN cases ON cases.id = case_id
                WHERE chats.deleted IS NULL AND cases.deleted IS NULL {case} {chat}),
            said AS (SELECT case_id, chat_id, turns.id, asked, question, answer, note
                FROM turns JOIN answers USING (place) JOIN living ON living.id = chat_id)
            SELECT 'case', id, NULL, NULL, changed, title FROM living_cases
            UNION ALL SELECT 'header', id, NULL, NULL, changed, header FROM living_cases
            UNION ALL SELECT 'title', case_id, id, NULL, changed, title FROM living
            UNION ALL SELECT 'draft', case_id, id, NULL, changed, draft FROM living
            UNION ALL SELECT 'question', case_id, chat_id, id, asked, question FROM said
            UNION ALL SELECT 'answer', case_id, chat_id, id, asked, answer FROM said
            UNION ALL SELECT 'note', case_id, chat_id, id, asked, note FROM said""",
            {"id": id} if kind else {},
        )
        return [
            Found(where, case_id, chat_id, turn_id, moment(at), text)
            for where, case_id, chat_id, turn_id, at, stored in rows
            if (text := CaseHeader.load(stored).searchable if where == "header" else stored)
        ]

    # --- settings ---

    def setting(self, name: str) -> str | None:
        """The value of a setting; None if it has none."""
        rows = self._rows("SELECT value FROM settings WHERE name = ?", (name,))
        return str(rows[0]["value"]) if rows else None

    def set_setting(self, name: str, value: str | None) -> None:
        """Set a setting, or remove it."""
        with self._transaction():
            if value is None:
                self._write("DELETE FROM settings WHERE name = :name", {"name": name})
            else:
                self._write(
                    "INSERT OR REPLACE INTO settings (name, value) VALUES (:name, :value)",
                    {"name": name, "value": value},
                )
