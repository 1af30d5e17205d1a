"""A state machine that does everything that can be done to a conversation, beside a reference made of plain lists."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from edgemed.chat.conversation import Conversation, Length, Queued, State, Turn
from edgemed.chat.lengths import with_instruction
from edgemed.engine.process.protocol import Message

TEXTS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20)
LENGTHS: st.SearchStrategy[Length] = st.sampled_from(["brief", "standard", "full"])
ENDS: st.SearchStrategy[State] = st.sampled_from(["whole", "stopped", "length", "context", "failed", "interrupted"])
INDEX = st.integers(0, 1 << 16)


@dataclass(eq=False)
class Node:
    """A turn of the reference."""

    turn: Turn
    parent: Node | None
    question: str
    length: Length
    raw: str = ""
    state: State = "open"
    children: list[Node] = field(default_factory=list)
    shown: Node | None = None  # the child that is shown


class TreeMachine(RuleBasedStateMachine):
    """Compares a conversation with the reference after each step."""

    def __init__(self) -> None:
        super().__init__()
        self.conversation = Conversation(system="Be brief.")
        self.root = Node(Turn("root"), None, "", "standard")
        self.nodes: list[Node] = []
        self.queued: list[Queued] = []

    # --- what a subclass may follow ---

    def opened(self, turn: Turn) -> None:
        """A turn was opened or opened again."""

    def answered(self, turn: Turn) -> None:
        """A turn's answer has grown or ended."""

    def withdrawn(self, turn: Turn) -> None:
        """A turn was removed."""

    def changed(self) -> None:
        """Anything else has changed."""

    # --- the reference ---

    @property
    def open(self) -> Node | None:
        return next((node for node in self.nodes if node.state == "open"), None)

    def active(self) -> list[Node]:
        path, node = [], self.root.shown
        while node:
            path.append(node)
            node = node.shown
        return path

    def add(self, turn: Turn, parent: Node, question: str, length: Length) -> None:
        node = Node(turn, parent, question, length)
        parent.children.append(node)
        self.nodes.append(node)
        self.make_shown(node)
        self.opened(turn)

    def make_shown(self, node: Node) -> None:
        while node.parent:
            node.parent.shown = node
            node = node.parent

    def pick(self, index: int, wanted: Callable[[Node], bool] = lambda node: True) -> Node | None:
        fit = [node for node in self.nodes if wanted(node)]
        return fit[index % len(fit)] if fit else None

    def path_to(self, node: Node) -> list[Node]:
        return ([] if node.parent in (None, self.root) else self.path_to(node.parent)) + [node]  # type: ignore[arg-type]

    # --- steps ---

    @precondition(lambda self: not self.open)
    @rule(question=TEXTS, length=LENGTHS)
    def ask(self, question: str, length: Length) -> None:
        parent = (self.active() or [self.root])[-1]
        self.add(self.conversation.ask(question, length), parent, question, length)

    @precondition(lambda self: self.open)
    @rule(text=st.one_of(st.just(""), TEXTS), state=st.one_of(st.just("open"), ENDS))
    def write(self, text: str, state: State) -> None:
        node = self.open
        assert node
        node.raw += text
        node.state = state
        node.turn.raw += text
        node.turn.state = state
        self.answered(node.turn)

    @precondition(lambda self: self.nodes and not self.open)
    @rule(index=INDEX, length=st.none() | LENGTHS)
    def regenerate(self, index: int, length: Length | None) -> None:
        node = self.pick(index)
        assert node
        assert node.parent
        turn = self.conversation.regenerate(node.turn, length)
        self.add(turn, node.parent, node.question, length or node.length)

    @precondition(lambda self: self.nodes and not self.open)
    @rule(index=INDEX, question=TEXTS)
    def edit(self, index: int, question: str) -> None:
        node = self.pick(index)
        assert node
        assert node.parent
        self.add(self.conversation.edit(node.turn, question), node.parent, question, node.length)

    @precondition(lambda self: not self.open)
    @rule(index=INDEX)
    def resume(self, index: int) -> None:
        node = self.pick(index, lambda node: not node.children and node.state not in ("whole", "context"))
        if node:
            assert self.conversation.resumable(node.turn)
            assert self.conversation.resume(node.turn) is node.turn
            node.state = "open"
            self.make_shown(node)
            assert node.turn.continued == node.raw
            self.opened(node.turn)

    @precondition(lambda self: self.nodes)
    @rule(index=INDEX)
    def show(self, index: int) -> None:
        node = self.pick(index)
        assert node
        self.conversation.show(node.turn)
        self.make_shown(node)
        self.changed()

    @rule(index=INDEX)
    def withdraw(self, index: int) -> None:
        node = self.pick(index, lambda node: not node.children and not node.raw and node.state != "open")
        if node:
            assert node.parent
            assert self.conversation.withdraw(node.turn) == node.question
            self.nodes.remove(node)
            node.parent.children.remove(node)
            node.parent.shown = node.parent.children[-1] if node.parent.children else None
            self.withdrawn(node.turn)

    @rule(question=TEXTS, length=LENGTHS)
    def queue(self, question: str, length: Length) -> None:
        self.conversation.queue(question, length)
        self.queued.append(Queued(question, length))
        self.changed()

    @rule(back=st.booleans())
    def unqueue(self, back: bool) -> None:
        took = self.conversation.take_back() if back else self.conversation.next_queued()
        expected = (self.queued.pop() if back else self.queued.pop(0)) if self.queued else None
        assert took == expected
        self.changed()

    @rule(draft=st.one_of(st.just(""), TEXTS))
    def draft(self, draft: str) -> None:
        self.conversation.draft = draft
        self.changed()

    # --- what always holds ---

    @invariant()
    def same_tree(self) -> None:
        conversation = self.conversation
        assert conversation.turns == [node.turn for node in self.active()]
        assert conversation.all_turns == [node.turn for node in self.nodes]
        assert conversation.open_turn is (self.open.turn if self.open else None)
        assert conversation.queued == self.queued
        for node in self.nodes:
            assert node.parent
            assert conversation.siblings(node.turn) == [each.turn for each in node.parent.children]
            assert (node.turn.question, node.turn.raw, node.turn.length) == (node.question, node.raw, node.length)

    @invariant()
    def same_prompts(self) -> None:
        for node in self.nodes:
            *before, last = self.path_to(node)
            expected = [Message("system", "Be brief.")]
            for each in before:
                if each.raw or each.state == "open":
                    expected.append(Message("user", with_instruction(each.question, each.length)))
                if each.raw and each.state != "open":
                    expected.append(Message("assistant", each.raw))
            expected.append(Message("user", with_instruction(last.question, last.length)))
            assert self.conversation.messages(node.turn) == expected
