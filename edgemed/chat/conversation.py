"""A conversation as data: a tree of questions and answers, how each answer ended, and its provenance.

Turns with the same parent are siblings: other answers to one question, or other versions of it. One branch of the tree
is active; it is what the screen shows and what the next question follows. Nothing here writes to a disk.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from edgemed.chat.lengths import Length, with_instruction
from edgemed.chat.turn import State, Turn, new_id
from edgemed.clinical.case import CaseHeader
from edgemed.clinical.region import Region
from edgemed.engine.process.protocol import Message

__all__ = ["Conversation", "Queued", "State", "Turn", "new_id"]


@dataclass(frozen=True, slots=True)
class Queued:
    """A question that waits for the current answer to end."""

    text: str
    length: Length = "standard"


class Conversation:
    """A tree of turns after an optional system message.

    `saved` is False for a chat of which nothing may reach a disk. `queued` holds the questions that wait, in order;
    each becomes a turn. `draft` is what is typed but not sent. `header` is that of the case, and `region` the
    user's: what they tell the model stands before the first question of every prompt (`preface`).
    """

    def __init__(
        self,
        *,
        system: str | None = None,
        id: str | None = None,
        title: str = "",
        case_id: str | None = None,
        saved: bool = True,
        draft: str = "",
        header: CaseHeader | None = None,
        region: Region | None = None,
        queued: Iterable[Queued] = (),
        turns: Iterable[Turn] = (),
        shown: Iterable[str] = (),
    ) -> None:
        """`turns` must list parents before children. `shown` holds the ids in `shown_ids` of a stored conversation."""
        self.system = system
        self.id = id or new_id()
        self.title = title
        self.case_id = case_id
        self.saved = saved
        self.draft = draft
        self.header = header or CaseHeader()
        self.region = region or Region()
        self.queued = list(queued)
        self._by_id: dict[str, Turn] = {}
        self._children: dict[str | None, list[Turn]] = {}
        self._shown: dict[str | None, Turn] = {}  # a parent's id -> which of its children is shown
        self._active: list[Turn] = []
        for turn in turns:
            self._keep(turn)
        for each in shown:
            self._shown[self._by_id[each].parent] = self._by_id[each]
        self._follow_shown()

    def __contains__(self, turn: Turn) -> bool:
        return self._by_id.get(turn.id) is turn

    @property
    def turns(self) -> list[Turn]:
        """The active branch, oldest turn first. The list is the same object for the conversation's life."""
        return self._active

    @property
    def all_turns(self) -> list[Turn]:
        """Every turn of every branch, in the order in which they were asked."""
        return list(self._by_id.values())

    @property
    def shown_ids(self) -> set[str]:
        """For every parent, the id of the child that is shown: what `shown` needs to restore the active branch."""
        return {turn.id for turn in list(self._shown.values())}

    @property
    def open_turn(self) -> Turn | None:
        """The turn that is being answered, if any, on whichever branch."""
        return next((turn for turn in reversed(self._by_id.values()) if turn.state == "open"), None)

    @property
    def heading(self) -> str:
        """The title, or the first line of the first question."""
        first = self._active[0].question if self._active else self.draft
        return self.title or first.strip().partition("\n")[0]

    @property
    def context_used(self) -> int:
        """The number of context tokens that the last prompt and answer of the active branch filled."""
        return next((turn.context_used for turn in reversed(self._active) if turn.context_used), 0)

    # --- asking ---

    def ask(self, question: str, length: Length = "standard", *, template: str = "", instruction: str = "") -> Turn:
        """Open a turn after the active branch. No turn may be open."""
        parent = self._active[-1].id if self._active else None
        return self._open(Turn(question, parent=parent, length=length, template=template, instruction=instruction))

    def regenerate(self, turn: Turn, length: Length | None = None) -> Turn:
        """Open a sibling of `turn` with the same question, and show it. No turn may be open."""
        return self._open_beside(turn, turn.question, length or turn.length)

    def edit(self, turn: Turn, question: str) -> Turn:
        """Open a sibling of `turn` with another question, and show it. No turn may be open."""
        return self._open_beside(turn, question, turn.length)

    def resumable(self, turn: Turn) -> bool:
        """True if `resume` can continue this answer: it was cut, nothing follows it, and no turn is open."""
        cut = turn.state not in ("open", "whole", "context")
        return cut and turn.id not in self._children and self.open_turn is None

    def resume(self, turn: Turn) -> Turn:
        """Open `turn` again and show it; new text is appended to its answer. It must be `resumable`."""
        assert self.resumable(turn)
        turn.state, turn.reason, turn.request, turn.resumed_at = "open", "", new_id(), len(turn.raw)
        self.show(turn)
        return turn

    def withdraw(self, turn: Turn) -> str:
        """Remove a turn that has no answer, and return its question, so that it can be changed and sent again."""
        assert not turn.raw
        assert turn.state != "open"
        assert turn.id not in self._children
        siblings = self._children[turn.parent]
        siblings.remove(turn)
        del self._by_id[turn.id]
        if siblings:
            self._shown[turn.parent] = siblings[-1]
        else:
            del self._children[turn.parent], self._shown[turn.parent]
        self._follow_shown()
        return turn.question

    # --- the queue ---

    def queue(self, question: str, length: Length = "standard") -> None:
        """Queue a question behind those that wait."""
        self.queued.append(Queued(question, length))

    def next_queued(self) -> Queued | None:
        """Remove and return the question that has waited longest; None if there is none."""
        return self.queued.pop(0) if self.queued else None

    def take_back(self) -> Queued | None:
        """Remove and return the question that was queued last; None if there is none."""
        return self.queued.pop() if self.queued else None

    # --- branches ---

    def siblings(self, turn: Turn) -> list[Turn]:
        """The turns with the same parent, `turn` included, in the order in which they were asked."""
        return list(self._children[turn.parent])

    def show(self, turn: Turn) -> None:
        """Make the branch through `turn` active. After `turn` it continues as it was last shown."""
        for each in self._branch(turn):
            self._shown[each.parent] = each
        self._follow_shown()

    def with_case(self) -> Conversation:
        """A new conversation about the same case, with this one's first question as its draft."""
        return Conversation(
            system=self.system,
            case_id=self.case_id,
            saved=self.saved,
            draft=self._active[0].question if self._active else "",
            header=self.header,
            region=self.region,
        )

    @property
    def preface(self) -> str:
        """What the model is told before the first question; empty if nothing. It holds no identity."""
        return "\n".join(filter(None, (self.header.prompt(self.region.language), self.region.prompt())))

    def messages(self, last: Turn | None = None) -> list[Message]:
        """The messages that are sent for `last`; without it, those of the active branch, which a next question follows.

        They are the system message, `preface` and the turns that have an answer; the others are left out, because chat
        templates reject two questions in a row. Of `last` and of an open turn they hold the question only; what was
        answered so far continues the prompt (`continued`).
        """
        messages = [] if self.system is None else [Message("system", self.system)]
        for turn in self._active if last is None else self._branch(last):
            asked = turn is last or turn.state == "open"
            if turn.raw or asked:
                messages.append(self._message(turn.told, messages))
            if turn.raw and not asked:
                messages.append(Message("assistant", turn.raw))
        return messages

    def messages_with(self, question: str, length: Length) -> list[Message]:
        """The messages that would be sent if `question` were asked now."""
        return [*(before := self.messages()), self._message(with_instruction(question, length), before)]

    def _message(self, told: str, before: list[Message]) -> Message:
        """A question as the model gets it. The first one stands below `preface` (docs/decisions.md#case-header)."""
        first = not any(message.role == "user" for message in before)
        return Message("user", f"{self.preface}\n\n{told}" if first and self.preface else told)

    def _open_beside(self, turn: Turn, question: str, length: Length) -> Turn:
        sibling = Turn(question, parent=turn.parent, length=length)
        sibling.template, sibling.instruction = turn.template, turn.instruction
        return self._open(sibling)

    def _open(self, turn: Turn) -> Turn:
        assert self.open_turn is None
        self._keep(turn)
        self.show(turn)
        return turn

    def _keep(self, turn: Turn) -> None:
        assert turn.parent is None or turn.parent in self._by_id
        self._by_id[turn.id] = turn
        self._children.setdefault(turn.parent, []).append(turn)
        self._shown[turn.parent] = turn

    def _branch(self, last: Turn) -> list[Turn]:
        """The turns from the first one to `last`."""
        branch = [last]
        while branch[-1].parent is not None:
            branch.append(self._by_id[branch[-1].parent])
        return branch[::-1]

    def _follow_shown(self) -> None:
        """Set the active branch. A turn that stays keeps its place, so that a list shown elsewhere stays valid."""
        branch: list[Turn] = []
        turn = self._shown.get(None)
        while turn is not None:
            branch.append(turn)
            turn = self._shown.get(turn.id)
        self._active[:] = branch
