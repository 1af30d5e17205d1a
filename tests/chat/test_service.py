"""`ask` on a scripted engine: what a turn records, and what hooks can rely on."""

from __future__ import annotations

import threading

import pytest

from edgemed.chat.conversation import Conversation, State, Turn
from edgemed.chat.service import Hook, ask
from edgemed.engine.process.protocol import Event, Finished, Piece, Sampling, StopReason
from edgemed.errors import EngineDied, EngineError, SetupError
from testing.fake_engine import DIGEST, PROMPT_DIGEST, FakeEngine, Hold, Step, finished


def asked(engine: FakeEngine, *hooks: Hook, sampling: Sampling | None = None) -> tuple[Turn, list[Event]]:
    """Ask one question; return its turn and the events that `ask` yielded, however it ended."""
    conversation, events = Conversation(), []
    turn = conversation.ask("How much?")
    try:
        for event in ask(engine, conversation, turn, sampling, hooks):
            events.append(event)
    except (EngineError, SetupError):
        pass
    return turn, events


class Recorder(Hook):
    """A hook that logs each call and the turn's state. It raises in the method that `fails` names."""

    def __init__(self, name: str, log: list[str], fails: str = "") -> None:
        self._name = name
        self._log = log
        self._fails = fails

    def before(self, conversation: Conversation, turn: Turn) -> None:
        self._note("before", turn)

    def after(self, conversation: Conversation, turn: Turn) -> None:
        self._note("after", turn)

    def _note(self, when: str, turn: Turn) -> None:
        self._log.append(f"{when} {self._name}: {turn.state} {turn.raw!r}")
        if when == self._fails:
            raise SetupError(f"{self._name} failed.")


# --- what a turn records ---

ENDINGS: dict[State, list[Step]] = {
    "whole": ["Take 5"],
    "length": ["Take 5", finished("Take 5", tokens=1, prompt=9, reason="length")],
    "context": ["Take 5", finished("Take 5", tokens=1, prompt=9, reason="context")],
    "stopped": ["Take 5", finished("Take 5", tokens=1, prompt=9, reason="stopped")],
    "failed": ["Take 5", EngineError("Expert 3 of layer 2 cannot be used.")],
}


@pytest.mark.parametrize("script", [*ENDINGS.items(), ("failed", ["Take 5", EngineDied("It ran out of memory.")])])
def test_every_ending_says_where_its_answer_came_from(script: tuple[State, list[Step]]) -> None:
    state, steps = script
    engine = FakeEngine(steps)
    turn, events = asked(engine)
    assert (turn.raw, turn.state) == ("Take 5", state)
    assert turn.sampling == engine.info.defaults
    assert turn.seed is not None
    assert turn.weights_digest == DIGEST
    assert turn.engine_version == engine.info.engine_version
    assert turn.prompt_digest == PROMPT_DIGEST
    assert engine.requests == [turn.request]
    assert bool(turn.reason) == (state == "failed")
    assert isinstance(events[-1], Finished) == (state != "failed")


def test_a_drawn_seed_is_known_before_anything_is_sent_and_a_given_one_reuses_nothing() -> None:
    engine = FakeEngine([], [])
    drawn, _ = asked(engine)
    given, _ = asked(engine, sampling=Sampling(seed=7))
    assert engine.sampled == [Sampling(max_tokens=256, seed=drawn.seed), Sampling(seed=7)]
    assert engine.reused == [True, False]
    assert drawn.sampling == Sampling(max_tokens=256)
    assert given.seed == 7


def test_the_text_of_an_unforeseen_error_is_not_kept() -> None:
    conversation = Conversation()
    turn = conversation.ask("q")
    with pytest.raises(ValueError):
        list(ask(FakeEngine([ValueError("Mrs Miller")]), conversation, turn))
    assert turn.state == "failed"
    assert turn.reason == "The engine failed because of an error in edgemed (ValueError); try again."


def test_the_turn_is_up_to_date_at_every_event() -> None:
    conversation = Conversation()
    turn = conversation.ask("q")
    seen = ""
    for event in ask(FakeEngine(["Rest", ".", "\n"]), conversation, turn):
        if isinstance(event, Piece):
            seen += event.text
            assert (turn.raw, turn.state) == (seen, "open")
        if isinstance(event, Finished):
            assert turn.state == "whole"
            assert conversation.context_used == event.prompt_tokens + event.tokens
    assert turn.raw == "Rest.\n"


@pytest.mark.parametrize("reason", ["end", "stopped"])
def test_an_answer_that_was_stopped_before_its_prompt_was_read_leaves_the_context_figure_alone(
    reason: StopReason,
) -> None:
    conversation = Conversation(turns=[Turn("before", raw="answer", state="whole", context_used=40)])
    turn = conversation.ask("q")
    tokens = 12 if reason == "end" else 0
    list(ask(FakeEngine([finished("", tokens=0, prompt=tokens, reason=reason)]), conversation, turn))
    assert conversation.context_used == (12 if reason == "end" else 40)


def test_who_abandons_an_answer_stops_its_turn() -> None:
    conversation, log = Conversation(), []  # type: ignore[var-annotated]
    turn = conversation.ask("q")
    events = ask(FakeEngine(["Take 5", " mg"]), conversation, turn, hooks=[Recorder("journal", log)])
    next(event for event in events if isinstance(event, Piece))
    events.close()  # type: ignore[attr-defined]
    assert (turn.raw, turn.state) == ("Take 5", "stopped")
    assert log[-1] == "after journal: stopped 'Take 5'"


# --- stopping ---


@pytest.mark.parametrize("when", ["before", "while", "after"])
def test_a_stop_ends_the_turn_it_names_and_no_other(when: str) -> None:
    hold = Hold()
    engine = FakeEngine(["Take 5", hold], ["Next."])
    conversation = Conversation()
    turn = conversation.ask("q")
    if when == "before":
        engine.stop(turn.request)
    elif when == "while":
        threading.Timer(0.05, engine.stop, (turn.request,)).start()
    else:
        hold.release()
    list(ask(engine, conversation, turn))
    engine.stop(turn.request)
    expected = {"before": ("", "stopped"), "while": ("Take 5", "stopped"), "after": ("Take 5", "whole")}
    assert (turn.raw, turn.state) == expected[when]
    following = conversation.ask("and then?")
    list(ask(engine, conversation, following))
    assert (following.raw, following.state) == ("Next.", "whole")


# --- hooks ---


def test_hooks_run_around_the_answer_and_nest() -> None:
    log: list[str] = []
    asked(FakeEngine(["Rest."]), Recorder("journal", log), Recorder("audit", log))
    assert log == [
        "before journal: open ''",
        "before audit: open ''",
        "after audit: whole 'Rest.'",
        "after journal: whole 'Rest.'",
    ]


def test_a_hook_that_fails_before_keeps_the_question_from_being_sent() -> None:
    log: list[str] = []
    engine = FakeEngine(["never said"])
    hooks = Recorder("journal", log), Recorder("rules", log, fails="before"), Recorder("audit", log)
    turn, events = asked(engine, *hooks)
    assert (engine.asked, events) == ([], [])
    assert (turn.raw, turn.state, turn.reason) == ("", "failed", "rules failed.")
    # The journal, whose `before` returned, is told how the turn ended; the other hooks are not.
    assert log == ["before journal: open ''", "before rules: open ''", "after journal: failed ''"]


def test_a_hook_that_fails_afterwards_loses_no_text_and_keeps_no_other_hook_from_running() -> None:
    log: list[str] = []
    conversation, events = Conversation(), []
    turn = conversation.ask("q")
    hooks = [Recorder("journal", log), Recorder("audit", log, fails="after")]
    with pytest.raises(SetupError, match=r"^audit failed\.$"):
        # extend keeps the events before the error
        events.extend(ask(FakeEngine(["Rest", "."]), conversation, turn, hooks=hooks))
    assert isinstance(events[-1], Finished)
    assert (turn.raw, turn.state, turn.reason) == ("Rest.", "whole", "")
    assert log[-1] == "after journal: whole 'Rest.'"


def test_hooks_learn_of_a_failure() -> None:
    log: list[str] = []
    turn, _ = asked(FakeEngine(["Half", EngineDied("It died.")]), Recorder("journal", log, fails="after"))
    assert log[-1] == "after journal: failed 'Half'"
    assert (turn.state, turn.reason) == ("failed", "It died.")


def test_a_hook_may_change_the_system_message() -> None:
    class Header(Hook):
        def before(self, conversation: Conversation, turn: Turn) -> None:
            conversation.system = "Woman, 34."

    engine = FakeEngine(["Rest."])
    asked(engine, Header())
    assert [message.content for message in engine.asked[0]] == ["Woman, 34.", "How much?"]


def test_a_hook_hears_of_every_event_after_the_turn_has_it() -> None:
    class Journal(Hook):
        def __init__(self) -> None:
            self.seen: list[str] = []

        def during(self, conversation: Conversation, turn: Turn) -> None:
            self.seen.append(f"{turn.state} {turn.raw}")

    journal = Journal()
    asked(FakeEngine(["Take 5", " mg"]), journal)
    assert journal.seen == ["open ", "open Take 5", "open Take 5 mg", "whole Take 5 mg"]
