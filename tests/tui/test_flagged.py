"""Red flags on the screen: before the first token, once per case, gone with Esc. In line mode as well.

The rules of these tests are given to the chat, so that the tests do not depend on the wording of the real ones.
"""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from textual.pilot import Pilot

from edgemed.chat.conversation import Conversation, Turn
from edgemed.chat.service import Hook
from edgemed.clinical import Language
from edgemed.clinical.case import CaseHeader
from edgemed.clinical.flags.flag import Flag, Text
from edgemed.clinical.flags.news2 import News2
from edgemed.clinical.flags.once import Once
from edgemed.clinical.flags.results import Reading
from edgemed.clinical.noted import Scale
from edgemed.clinical.watch import Rules, Watch
from edgemed.tui.app import ChatApp
from edgemed.tui.entrance import Entrance
from edgemed.tui.plain.chat import PlainChat
from edgemed.tui.screens.choice import ChoiceScreen
from edgemed.tui.screens.seen import SeenScreen
from edgemed.tui.session import ChatSession
from edgemed.tui.watching import recent
from testing.fake_engine import FakeEngine, Hold
from tests.tui.driving import screen_text, session, shows, shows_not, wait_until, write
from tests.tui.test_kept import in_vault, unlocked
from tests.tui.vaults import entrance, make_vault

WORDS = ("chest pain", "sweating", "worst headache", "neck stiff", "胸痛")
SHOWN = 'Text match, not an assessment: "chest pain ... sweating" (RULE-1, a guideline, 2016).'
ACT = "If this is an emergency, use your local pathway; do not wait for this answer."


class Read:
    """Rules that find words, and note which threads they ran on."""

    def __init__(self) -> None:
        self.threads: list[int] = []
        self.texts: list[list[Text]] = []

    def phrases(self, texts: Sequence[Text], heard: object) -> list[Flag]:
        self.threads.append(threading.get_ident())
        self.texts.append(list(texts))
        whole = "\n".join(text.body for text in texts)
        pairs = {"RULE-1": WORDS[:2], "RULE-2": WORDS[2:4], "RULE-3": WORDS[4:]}
        return [
            Flag(rule, "phrases", found, "a guideline, 2016")
            for rule, words in pairs.items()
            if (found := tuple(word for word in words if word in whole))
        ]

    def values(self, texts: Sequence[Text], header: CaseHeader, readings: Once[Reading]) -> list[Flag]:
        found = [word for text in texts for word in text.body.split() if word.startswith("K=")]
        return [Flag("K-1", "values", tuple(found), "a list, 2023", asks_unit=True)] if found else []

    def news2(
        self, texts: Sequence[Text], header: CaseHeader, scale: Scale | None, readings: Once[Reading]
    ) -> News2 | None:
        self.threads.append(threading.get_ident())
        found = tuple(dict.fromkeys(word for text in texts for word in text.body.split() if word.startswith("RR=")))
        if not found:
            return None
        new = found[-1] in texts[-1].body
        if scale is None:
            return News2(None, ("respiration", "oxygen"), "no_scale", evidence=found, new=new)
        return News2(7, evidence=found, new=new, scale=scale)

    @property
    def watch(self) -> Watch:
        return Watch(Rules(phrases=self.phrases, values=self.values, news2=self.news2))


def watched(engine: FakeEngine, read: Read | None = None, language: Language = "en") -> ChatSession:
    return replace(session(engine, language=language), watch=(read or Read()).watch)


def on_vault(folder: Path, engine: FakeEngine) -> Entrance:
    real = entrance(folder, engine)
    return replace(real, open_session=lambda settings: replace(real.open_session(settings), watch=Read().watch))


def joined(pilot: Pilot[None]) -> str:
    """The screen's text, without the places where lines were broken."""
    return " ".join(screen_text(pilot).split())


async def flagged(pilot: Pilot[None], *texts: str) -> None:
    await wait_until(pilot, lambda: all(text in joined(pilot) for text in texts))


async def test_it_is_painted_before_the_engine_is_asked_and_needs_no_key() -> None:
    hold, on_screen = Hold(), list[str]()
    engine = FakeEngine([hold, "Rest."])

    class Painted(Hook):
        def before(self, conversation: Conversation, turn: Turn) -> None:
            lines = app.chat._compositor.render_strips()
            on_screen.append(" ".join("".join(each.text for strip in lines for each in strip).split()))

    app = ChatApp(replace(watched(engine), hooks=[Painted()]))
    async with app.run_test(size=(80, 24)) as pilot:
        await write(pilot, "chest pain and sweating for an hour", "enter")
        await flagged(pilot, SHOWN, ACT)
        await wait_until(pilot, lambda: bool(on_screen))
        assert "Text match" in on_screen[0], "shown before the engine was asked"
        hold.release()
        await shows(pilot, "Rest.", "Text match")
    assert len(engine.asked) == 1


async def test_the_interfaces_thread_runs_no_rule() -> None:
    read = Read()
    async with ChatApp(watched(FakeEngine(["Rest."]), read)).run_test(size=(80, 24)) as pilot:
        await write(pilot, "chest pain", "enter")
        await shows(pilot, "Rest.")
        await write(pilot, "/flags", "enter")
        await wait_until(pilot, lambda: isinstance(pilot.app.screen, SeenScreen))
    assert len(read.threads) >= 2
    assert threading.get_ident() not in read.threads


async def test_escape_dismisses_it_and_only_the_next_one_stops_the_answer() -> None:
    hold = Hold()
    engine = FakeEngine(["Take 5", hold], [Hold()])
    async with ChatApp(watched(engine)).run_test(size=(80, 24)) as pilot:
        await write(pilot, "chest pain", "enter")
        await shows(pilot, "Take 5", "Text match")
        await pilot.press("escape")
        await shows_not(pilot, "Text match")
        assert not engine._stopped
        await pilot.press("escape")
        await shows(pilot, "CUT OFF")
        await write(pilot, "worst headache", "enter")
        await shows(pilot, "Text match")
        await pilot.press("ctrl+c")  # stops at once, and leaves the line
        await wait_until(pilot, lambda: len(engine._stopped) == 2)
        assert "Text match" in screen_text(pilot)


async def test_once_per_case_and_again_on_new_evidence() -> None:
    engine = FakeEngine(["One."], ["Two."], ["Three."], ["Four."])
    async with ChatApp(watched(engine)).run_test(size=(80, 40)) as pilot:
        await write(pilot, "chest pain", "enter")
        await shows(pilot, "One.", "Text match")
        await write(pilot, "What else about the chest pain?", "enter")
        await shows(pilot, "Two.")
        assert "Text match" not in screen_text(pilot), "the next question takes the line's place"
        await write(pilot, "Now sweating", "enter")
        await shows(pilot, "Three.")
        await flagged(pilot, SHOWN)
        await pilot.press("f5")
        await shows(pilot, "Four.")
        assert "Text match" not in screen_text(pilot)


@pytest.mark.slow
async def test_it_does_not_return_after_a_restart_nor_in_the_cases_other_chat(tmp_path: Path) -> None:
    folder = make_vault(tmp_path / "vault")
    for answers, question in (["One."], "chest pain"), (["Two."], "chest pain again"):
        app = ChatApp(entrance=on_vault(folder, FakeEngine(answers, ["More."])))
        async with app.run_test(size=(80, 40)) as pilot:
            await unlocked(pilot)
            if answers == ["One."]:
                app.chat._take_header(app.chat._conversation, CaseHeader(age="45"))
                await shows(pilot, "45 years")
            await write(pilot, question, "enter")
            await shows(pilot, answers[0])
            assert ("Text match" in screen_text(pilot)) == (answers == ["One."])
            if answers == ["Two."]:
                await pilot.press("alt+n")
                await shows_not(pilot, "Two.")
                await write(pilot, " of the chest", "enter")
                await shows(pilot, "More.")
                assert "Text match" not in screen_text(pilot)
            await pilot.press("ctrl+q")
    stored = in_vault(folder, lambda store: store._rows("SELECT value FROM settings WHERE name LIKE 'noted %'"))
    assert stored
    assert not any("chest" in row["value"] for row in stored)


@pytest.mark.slow
async def test_it_is_forgotten_with_its_chat_and_an_unsaved_chat_leaves_nothing(tmp_path: Path) -> None:
    folder = make_vault(tmp_path / "vault")
    app = ChatApp(entrance=on_vault(folder, FakeEngine(["One."], ["Two."])))
    async with app.run_test(size=(80, 40)) as pilot:
        await unlocked(pilot)
        await write(pilot, "chest pain", "enter")
        await shows(pilot, "One.", "Text match")
        await write(pilot, "/unsaved", "enter")
        await shows(pilot, "UNSAVED")
        await write(pilot, "chest pain", "enter")
        await shows(pilot, "Two.", "Text match")
        await pilot.press("ctrl+q")
        await pilot.press("enter")
    rows = "SELECT name FROM settings WHERE name LIKE 'noted %'"
    (chat,) = in_vault(folder, lambda store: store.chats())
    assert in_vault(folder, lambda store: store._rows(rows)) == [{"name": f"noted {chat.id}"}]

    def erase(store: object) -> None:
        store.delete("chats", chat.id)  # type: ignore[attr-defined]
        store.purge(days=0)  # type: ignore[attr-defined]

    in_vault(folder, erase)
    assert in_vault(folder, lambda store: store._rows(rows)) == []


async def test_a_group_that_is_off_shows_nothing_until_it_is_on_again() -> None:
    engine = FakeEngine(["One."], ["Two."])
    async with ChatApp(watched(engine)).run_test(size=(100, 40), notifications=True) as pilot:
        await shows(pilot, "mini")
        await write(pilot, "/rules", "enter")
        await wait_until(pilot, lambda: isinstance(pilot.app.screen, ChoiceScreen))
        await shows(pilot, "NOT CLINICALLY REVIEWED", "on · red flags by phrase")
        await pilot.press("enter")
        await shows(pilot, "OFF until you switch it on again: red flags by phrase.")
        await write(pilot, "chest pain", "enter")
        await shows(pilot, "One.")
        assert "Text match" not in screen_text(pilot)
        await write(pilot, "/rules phrases", "enter")
        await shows(pilot, "On: red flags by phrase.")
        await write(pilot, "And now?", "enter")
        await shows(pilot, "Two.", "Text match")


async def test_several_are_counted_and_all_are_listed_with_rule_and_source() -> None:
    engine = FakeEngine(["One."])
    async with ChatApp(watched(engine)).run_test(size=(80, 40), notifications=True) as pilot:
        await write(pilot, "/emergency 112", "enter")
        await shows(pilot, "Emergency number: 112.")
        await write(pilot, "chest pain, worst headache, 胸痛, K=7", "enter")
        await flagged(pilot, "RULE-1", "RULE-2", "and 2 more (/flags).", ACT, "Emergency number (typed by you): 112.")
        assert screen_text(pilot).count("Text match") == 2
        await write(pilot, "/flags", "enter")
        await wait_until(pilot, lambda: isinstance(pilot.app.screen, SeenScreen))
        await shows(pilot, "NOT CLINICALLY REVIEWED", "RULE-3", "K-1", "a list, 2023", "No unit")


async def test_a_waiting_question_is_read_when_it_is_sent_not_when_it_is_asked() -> None:
    hold = Hold()
    engine = FakeEngine([hold, "One."], ["Two."])
    async with ChatApp(watched(engine)).run_test(size=(80, 24)) as pilot:
        await write(pilot, "A cough", "enter")
        await wait_until(pilot, lambda: len(engine.asked) == 1)
        await write(pilot, "chest pain", "enter")
        await shows(pilot, "Next: chest pain", "Text match")
        assert len(engine.asked) == 1
        hold.release()
        await shows(pilot, "Two.", "Text match")


async def test_the_question_about_another_patient_comes_first() -> None:
    engine = FakeEngine(["One."], ["Two."])
    async with ChatApp(watched(engine)).run_test(size=(80, 30)) as pilot:
        await write(pilot, "45M cough", "enter")
        await shows(pilot, "One.")
        await write(pilot, "72F chest pain", "enter")
        await shows(pilot, "New case?")
        assert "Text match" not in screen_text(pilot)
        await pilot.press("enter")
        await shows(pilot, "Two.", "Text match")
        assert "New case?" not in screen_text(pilot)


async def test_another_chat_has_its_own_line() -> None:
    engine = FakeEngine(["One."], ["Two."])
    async with ChatApp(watched(engine)).run_test(size=(80, 30)) as pilot:
        await write(pilot, "chest pain", "enter")
        await shows(pilot, "One.", "Text match")
        await pilot.press("ctrl+n")
        await shows_not(pilot, "Text match")
        await write(pilot, "/back", "enter")
        await shows(pilot, "One.", "Text match")


async def test_rules_that_fail_are_told_and_the_question_is_sent() -> None:
    def broken(texts: Sequence[Text]) -> list[Flag]:
        raise ValueError("a bug")

    told = replace(session(FakeEngine(["One."])), watch=Watch(Rules(phrases=broken)))
    async with ChatApp(told).run_test(size=(80, 30)) as pilot:
        await write(pilot, "chest pain", "enter")
        await shows(pilot, "One.")
        await flagged(pilot, "ended with an error, so the text was not read by them: red flags by phrase.")


@pytest.mark.slow
async def test_what_was_shown_dismissed_and_switched_is_recorded_without_text(tmp_path: Path) -> None:
    folder = make_vault(tmp_path / "vault")
    app = ChatApp(entrance=on_vault(folder, FakeEngine(["One."], ["Two."])))
    async with app.run_test(size=(100, 40), notifications=True) as pilot:
        await unlocked(pilot)
        await write(pilot, "chest pain, worst headache", "enter")
        await shows(pilot, "One.", "Text match")
        await pilot.press("escape")
        await shows_not(pilot, "Text match")
        await write(pilot, "/rules values", "enter")
        await shows(pilot, "OFF until you switch it on again")
        await write(pilot, "/unsaved", "enter")
        await shows(pilot, "UNSAVED")
        await write(pilot, "chest pain", "enter")
        await shows(pilot, "Two.", "Text match")
        await pilot.press("ctrl+q")
        await pilot.press("enter")
    query = (
        "SELECT event, details, chat_id FROM audit WHERE event LIKE 'flag%' OR event LIKE 'rules%' ORDER BY sequence"
    )
    rows = in_vault(folder, lambda store: store._rows(query))
    assert [row["event"] for row in rows] == [*["flag_shown"] * 2, "flag_dismissed", "rules_switched", "flag_shown"]
    told = [json.loads(row["details"] or "{}") for row in rows]
    assert told[0] == {"rule": "RULE-1", "group": "phrases"}
    assert told[2] == {"rules": "RULE-1 RULE-2"}
    assert told[3] == {"group": "values", "on": 0}
    assert (rows[4]["chat_id"], told[4]) == (None, {}), "an unsaved chat's row says that it happened, not what"
    assert not any("chest" in str(row) for row in rows)


NOT_SCORED = "NEWS2 not computed: missing SpO2 scale (/scale 1 or /scale 2); missing respiration, oxygen"


@pytest.mark.slow
async def test_a_score_is_computed_once_its_scale_is_chosen_for_the_case(tmp_path: Path) -> None:
    folder = make_vault(tmp_path / "vault")
    for first in (True, False):
        app = ChatApp(entrance=on_vault(folder, FakeEngine(["One."], ["Two."])))
        async with app.run_test(size=(120, 30), notifications=True) as pilot:
            await unlocked(pilot)
            await write(pilot, "RR=25" if first else "Now RR=31", "enter")
            await shows(pilot, "One.", NOT_SCORED if first else "NEWS2 7 (scale 2): RR=25, RR=31")
            if first:
                await write(pilot, "/scale 2", "enter")
                await shows(pilot, "SpO2 scale of this case: 2.", "NEWS2 7 (scale 2): RR=25", "(NEWS2, Royal College")
                await write(pilot, "And the RR=25 ?", "enter")
                await shows(pilot, "Two.")
                assert "NEWS2" not in screen_text(pilot), "once"
            await pilot.press("ctrl+q")


async def test_in_chinese() -> None:
    app = ChatApp(watched(FakeEngine(["休息。"]), language="zh-CN"))
    async with app.run_test(size=(80, 24)) as pilot:
        await write(pilot, "胸痛", "enter")
        await flagged(pilot, "文字匹配，并非评估：“胸痛”（RULE-3，a guideline,", "不要等待本回答。")


def said(typed: str, *answers: list[str], **options: object) -> str:
    """What line mode prints when this is typed."""
    writer = io.StringIO()
    told = replace(watched(FakeEngine(*answers)), **options)  # type: ignore[arg-type]
    PlainChat(told, Conversation(saved=False), reader=io.StringIO(typed), writer=writer).run()
    return writer.getvalue()


def test_line_mode_prints_it_before_the_answer_and_once() -> None:
    printed = said("chest pain, sweating\nchest pain\n/edit worst headache\n/flags\n", ["One."], ["Two."], ["Three."])
    first, _, rest = printed.partition("One.")
    assert f"{SHOWN} {ACT}" in first
    second, _, rest = rest.partition("Two.")
    assert "Text match" not in second
    assert "RULE-2" in rest.partition("Three.")[0]
    assert "NOT CLINICALLY REVIEWED" in rest


def test_line_mode_scores_when_the_scale_is_chosen() -> None:
    printed = said("/scale\nRR=25\n/scale 1\n/scale 3\n", ["One."])
    assert "No SpO2 scale is chosen for this case; /scale 1 or /scale 2 chooses it." in printed
    assert NOT_SCORED in printed.partition("One.")[0]
    assert "NEWS2 7 (scale 1): RR=25" in printed.partition("One.")[2]
    assert printed.count("SpO2 scale of this case: 1.") == 2


def test_line_mode_switches_groups_and_takes_the_emergency_number() -> None:
    numbers = list[str]()
    typed = "/rules\n/rules phrases\nchest pain\n/rules phrases\n/rules x\n/emergency  911 \nAnd now?\n/emergency\n"
    printed = said(typed, ["One."], ["Two."], on_emergency=numbers.append)
    assert "phrases: on. red flags by phrase." in printed
    assert "Text match" not in printed.partition("One.")[0]
    assert "There is no group x." in printed
    last = printed.partition("One.")[2]
    assert "Text match" in last
    assert "Emergency number (typed by you): 911." in last
    assert numbers == ["911"]


def test_the_rules_read_the_newest_questions_of_a_long_chat() -> None:
    case, asked = "x" * 20_000, [f"question {number}" for number in range(10)]
    assert recent([case, *asked]) == [case, *asked]
    texts = [f"{number} {'x' * 12_000}" for number in range(10)]
    assert recent(texts) == texts[-4:]
    assert recent(["x" * 60_000]) == ["x" * 60_000], "the newest one is read whole"
    assert recent([str(number) for number in range(1000)])[0] == "900"
    assert recent([]) == []
