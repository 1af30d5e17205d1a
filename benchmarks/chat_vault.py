"""The vault of benchmarks.chat: one chat of 1,000 turns with answers as clinicians get them, and 40 other cases."""

from __future__ import annotations

import random
from pathlib import Path

from edgemed.chat.conversation import Conversation, Turn
from edgemed.tui.hiding.pin import digest_of
from edgemed.vault.folder import create
from edgemed.vault.keys import DEFAULT, Cost
from edgemed.vault.rows import Snapshot

PASSPHRASE = "correct horse battery staple"
PIN = "4711"
LONG, RARE, LAST = "Alder, F 71", "Zebrafol", "REVIEW-4711"
"""The title of the long chat, a word of the answer in its middle, and the end of its last answer."""

DRUGS = (
    "amoxicillin",
    "furosemide",
    "apixaban",
    "metoprolol",
    "ceftriaxone",
    "heparin",
    "ramipril",
    "insulin glargine",
)
WAYS = ("oral", "IV", "SC")
FINDINGS = (
    "K 6.2 mmol/l",
    "lactate 3.4 mmol/l",
    "creatinine 182 µmol/l",
    "troponin 48 ng/l",
    "SpO2 < 90 %",
    "血钾 6.2",
)
STEPS = (
    "Repeat the ECG within 30 minutes and compare it with the one of admission.",
    "Stop nephrotoxic drugs; check potassium again after 2 h.",
    "复查心电图，监测血钾，必要时请肾内科会诊。",
    "Ask about allergies before the first dose of an antibiotic.",
    "No contrast medium until the creatinine is known.",
    "患者主诉胸痛伴大汗，持续 2 小时，含服硝酸甘油后无缓解。",
)


def answer(draw: random.Random) -> str:
    """An answer of some 1,200 characters: a summary, a table of doses, a list, Chinese."""
    rows = (
        f"| {drug} | {draw.choice((2.5, 5, 40, 250, 500))} mg | {draw.choice(WAYS)} | every {draw.choice((8, 12))} h |"
        for drug in draw.sample(DRUGS, 4)
    )
    return "\n".join(
        [
            f"**Summary.** {draw.choice(FINDINGS)} with {draw.choice(FINDINGS)}; {draw.choice(STEPS)}",
            "",
            "| Drug | Dose | Way | Interval |",
            "|---|---|---|---|",
            *rows,
            "",
            "## Next steps",
            "",
            *(f"{number}. {draw.choice(STEPS)} Target: {draw.choice(FINDINGS)}." for number in range(1, 6)),
            "",
            "- **Must not miss:** hyperkalaemia, sepsis, pulmonary embolism.",
            f"- 鉴别诊断：急性冠脉综合征、主动脉夹层、肺栓塞。{draw.choice(STEPS)}",
            "",
            f"> Unless the potassium is < {draw.choice((5.5, 6.0))} mmol/l, do not give {draw.choice(DRUGS)}.",
        ]
    )


def long_chat(turns: int, draw: random.Random) -> Conversation:
    """An answered conversation with RARE in its middle and LAST at its end."""
    chat = Conversation(title=LONG)
    for number in range(turns):
        turn = chat.ask(f"Day {number}: {draw.choice(FINDINGS)}. {draw.choice(STEPS)} What next?")
        close(turn, answer(draw) + (f"\n\n{RARE} 17 mg once." if number == turns // 2 else ""))
    chat.turns[-1].raw += f"\n\n{LAST}"
    return chat


def close(turn: Turn, text: str) -> None:
    turn.raw, turn.state = text, "whole"


def make_vault(folder: Path, turns: int, others: int, cost: Cost = DEFAULT) -> Conversation:
    """Make the vault and close it. Returns its long chat, which was changed last."""
    draw = random.Random(1)
    vault, _ = create(folder, PASSPHRASE, cost=cost)
    vault.do(lambda store: store.set_setting("pin", digest_of(PIN))).result()
    for number in range(others):
        case = vault.do(lambda store, number=number: store.new_case(f"Case {number}")).result()  # type: ignore[misc]
        chat = Conversation(case_id=case)
        close(chat.ask(f"{draw.choice(FINDINGS)}: which dose of {draw.choice(DRUGS)}?"), answer(draw))
        vault.do(lambda store, chat=chat: store.keep(Snapshot.of(chat))).result()  # type: ignore[misc]
    chat = long_chat(turns, draw)
    vault.do(lambda store: store.keep(Snapshot.of(chat))).result()
    vault.close()
    return chat
