"""The lists of cases and chats, and what can be done with a whole case or chat."""

from __future__ import annotations

from datetime import datetime, timedelta

from edgemed.chat.conversation import new_id
from edgemed.vault.access import Access
from edgemed.vault.noted import NOTED
from edgemed.vault.rows import CaseRow, ChatRow, Kind, moment, storable

STALE_DAYS = 30
KEPT_DAYS = 7
"""How long a deleted chat can be brought back before `purge` erases it."""
_HEADING_CHARACTERS = 200
_DAY = 86_400 * 1_000_000


class Catalogue(Access):
    """Cases and chats as units. `Store` adds what is in them."""

    # --- lists ---

    def cases(self, *, deleted: bool = False) -> list[CaseRow]:
        """The cases, pinned ones first, then by last change; or the deleted ones."""
        rows = self._rows(
            f"""SELECT cases.id, cases.title, cases.header, cases.pinned,
                max(cases.changed, coalesce(max(chats.changed), 0)) AS changed, count(chats.id) AS chats
            FROM cases LEFT JOIN chats ON chats.case_id = cases.id AND chats.deleted IS NULL
            WHERE cases.deleted IS {"NOT NULL" if deleted else "NULL"}
            GROUP BY cases.id ORDER BY cases.pinned DESC, 5 DESC, cases.rowid DESC"""
        )
        return [
            CaseRow(r["id"], r["title"], r["header"], bool(r["pinned"]), moment(r["changed"]), r["chats"]) for r in rows
        ]

    def chats(self, case_id: str | None = None, *, deleted: bool = False) -> list[ChatRow]:
        """The chats, or those of one case, pinned ones first, then by last change; or the deleted ones."""
        rows = self._rows(
            f"""SELECT chats.id, chats.case_id, chats.title, chats.pinned, chats.changed,
                substr(chats.draft, 1, {_HEADING_CHARACTERS}) AS draft,
                (SELECT count(*) FROM queued WHERE chat_id = chats.id) AS queued,
                (SELECT count(*) FROM turns WHERE chat_id = chats.id) AS turns,
                (SELECT substr(question, 1, {_HEADING_CHARACTERS}) FROM turns
                    WHERE chat_id = chats.id AND parent IS NULL AND shown) AS question,
                (SELECT state FROM answers WHERE place = (SELECT max(place) FROM turns WHERE chat_id = chats.id))
                    AS state
            FROM chats LEFT JOIN cases ON cases.id = chats.case_id
            WHERE chats.deleted IS {"NOT NULL" if deleted else "NULL"} AND cases.deleted IS NULL
                AND (:case_id IS NULL OR chats.case_id = :case_id)
            ORDER BY chats.pinned DESC, chats.changed DESC, chats.rowid DESC""",
            {"case_id": case_id},
        )
        return [
            ChatRow(
                id=row["id"],
                case_id=row["case_id"],
                title=row["title"] or (row["question"] or row["draft"]).strip().partition("\n")[0],
                pinned=bool(row["pinned"]),
                changed=moment(row["changed"]),
                turns=row["turns"],
                queued=row["queued"],
                draft=bool(row["draft"]),
                state=row["state"],
            )
            for row in rows
        ]

    def stale_cases(self, days: int = STALE_DAYS) -> list[CaseRow]:
        """The cases in which nothing has changed for so many days, without the pinned ones."""
        return [case for case in self.cases() if not case.pinned and case.changed < self._days_ago(days)]

    def stale_chats(self, days: int = STALE_DAYS) -> list[ChatRow]:
        """The chats without a case in which nothing has changed for so many days, without the pinned ones."""
        return [
            chat
            for chat in self.chats()
            if chat.case_id is None and not chat.pinned and chat.changed < self._days_ago(days)
        ]

    # --- cases and chats ---

    def new_case(self, title: str, header: str = "") -> str:
        """Make a case and return its id."""
        case = {"id": new_id(), "title": storable(title), "header": storable(header), "now": self._now()}
        with self._transaction():
            columns = "id, title, header, created, changed"
            self._write(f"INSERT INTO cases ({columns}) VALUES (:id, :title, :header, :now, :now)", case)
        return str(case["id"])

    def rename(self, kind: Kind, id: str, title: str) -> None:
        """Give a title. An empty one of a chat means the first line of its first question."""
        self._set(kind, id, "title", storable(title))

    def pin(self, kind: Kind, id: str, pinned: bool = True) -> None:
        """Keep it at the top of its list, or no longer."""
        self._set(kind, id, "pinned", int(pinned), changes=False)

    def set_header(self, case_id: str, header: str) -> None:
        """Replace the header of a case."""
        self._set("cases", case_id, "header", storable(header))

    def move(self, chat_id: str, case_id: str | None) -> None:
        """Put a chat into another case, or into none."""
        self._set("chats", chat_id, "case_id", case_id)

    def delete(self, kind: Kind, id: str) -> None:
        """Hide a case with its chats, or a chat. It stays in the vault until it is purged."""
        self._set(kind, id, "deleted", self._now(), changes=False)

    def undelete(self, kind: Kind, id: str) -> None:
        """Bring back what was deleted."""
        self._set(kind, id, "deleted", None, changes=False)

    def purge(self, days: int = KEPT_DAYS) -> int:
        """Erase what was deleted so many days ago or earlier; return how many cases and chats that were.

        SQLite overwrites the erased rows (`secure_delete`), and the write-ahead log is emptied. Older copies of the
        files, such as backups, and what an SSD keeps are not erased.
        """
        before = self._now() - days * _DAY
        with self._transaction():
            erased = sum(
                self._write(f"DELETE FROM {kind} WHERE deleted <= :before", {"before": before})
                for kind in ("chats", "cases")
            )
            if erased:
                self._write(
                    f"""DELETE FROM settings WHERE substr(name, 1, {len(NOTED)}) = :noted
                    AND substr(name, {len(NOTED) + 1}) NOT IN (SELECT id FROM chats)""",
                    {"noted": NOTED},
                )
        if erased:
            self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        return erased

    def _set(self, kind: Kind, id: str, column: str, value: str | int | None, *, changes: bool = True) -> None:
        """Set a column. `changes`: whether that counts as a change of the case or chat."""
        now = ", changed = :now" if changes else ""
        with self._transaction():
            self._write(
                f"UPDATE {kind} SET {column} = :value{now} WHERE id = :id",
                {"value": value, "now": self._now(), "id": id},
            )

    def _days_ago(self, days: int) -> datetime:
        return moment(self._now()) - timedelta(days=days)
