"""Two patients in one vault: nothing of one ever reaches a prompt of the other."""

from __future__ import annotations

import random

import pytest

from edgemed.chat.conversation import Conversation
from edgemed.chat.lengths import Length
from edgemed.chat.service import ask
from edgemed.vault.journal import Journal
from edgemed.vault.rows import Snapshot
from edgemed.vault.search import Index
from testing.fake_engine import FakeEngine
from tests.vault.memory import Direct, memory_store

PLANTED = {"Bed 4": ["KESTREL", "青霉素过敏"], "Bed 9": ["OSPREY", "左侧偏瘫"]}
TURNS = 200


class Ward:
    """One doctor, one engine, one vault; two cases with a chat each, open or only stored."""

    def __init__(self, vault: Direct, draw: random.Random) -> None:
        self.vault = vault
        self.draw = draw
        self.engine = FakeEngine()
        self.journal = Journal(vault, Index())
        self.asked_for: list[str] = []  # the case of every prompt
        self.ids = {vault.store.new_case(name): name for name in PLANTED}
        self.open = {name: Conversation(case_id=id, system=self.text(name)) for id, name in self.ids.items()}

    def text(self, name: str) -> str:
        return f"note {self.draw.randrange(1000)} {self.draw.choice(PLANTED[name])}"

    def turn(self) -> None:
        name = self.draw.choice(list(PLANTED))
        conversation = self.open[name]
        answered = [turn for turn in conversation.all_turns if turn.state == "whole"]
        length: Length = self.draw.choice(["brief", "standard", "full"])
        step = self.draw.randrange(8)
        if step == 0 and answered:
            turn = conversation.regenerate(self.draw.choice(answered), length)
        elif step == 1 and answered:
            turn = conversation.edit(self.draw.choice(answered), self.text(name))
        elif step == 2 and (cut := [turn for turn in conversation.all_turns if conversation.resumable(turn)]):
            turn = conversation.resume(self.draw.choice(cut))
        elif step == 3:
            conversation = self.open[name] = conversation.with_case()
            turn = conversation.ask(conversation.draft or self.text(name))
        else:
            conversation.queue(self.text(name), length)
            for other in self.open.values():  # both queues fill while the engine works
                other.queue(self.text(self.name_of(other)))
            queued = conversation.next_queued()
            assert queued
            turn = conversation.ask(queued.text, queued.length)
        self.asked_for.append(name)
        self.engine.answer_next(self.text(name), cut=self.draw.random() < 0.2)
        list(ask(self.engine, conversation, turn, hooks=[self.journal]))
        self.leave(name)

    def name_of(self, conversation: Conversation) -> str:
        assert conversation.case_id
        return self.ids[conversation.case_id]

    def leave(self, name: str) -> None:
        """Put the chat away, look at another branch or another chat of the same case, or stay."""
        conversation = self.open[name]
        conversation.draft = self.text(name)
        if self.draw.random() < 0.3:
            conversation.show(self.draw.choice(conversation.all_turns))
        self.vault.store.keep(Snapshot.of(conversation))
        if self.draw.random() < 0.5:
            chats = self.vault.store.chats(conversation.case_id)
            self.open[name] = self.vault.store.load(self.draw.choice(chats).id)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_no_word_of_one_patient_reaches_a_prompt_of_the_other(seed: int) -> None:
    with memory_store() as store:
        ward = Ward(Direct(store), random.Random(seed))
        for _ in range(TURNS):
            ward.turn()
    assert len(ward.engine.asked) == TURNS
    for name, messages, continued in zip(ward.asked_for, ward.engine.asked, ward.engine.continued, strict=True):
        prompt = "\n".join(message.content for message in messages) + continued
        (other,) = PLANTED.keys() - {name}
        assert not any(word in prompt for word in PLANTED[other])
        assert any(word in prompt for word in PLANTED[name]), "the words are planted at all"
    assert any(ward.engine.continued)
