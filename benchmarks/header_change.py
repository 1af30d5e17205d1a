"""What a change of the case header costs: `python -m benchmarks.header_change MODEL`.

The header stands before the first question, so after a change the engine computes the prompt again from there. Prints,
for a conversation of a few turns, how many tokens of each prompt came from the KV cache and how many were computed.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from edgemed.chat.conversation import Conversation
from edgemed.chat.service import ask
from edgemed.clinical.case import CaseHeader
from edgemed.engine.process.client import Engine
from edgemed.engine.process.protocol import EngineSettings, Finished, PromptProgress, Sampling
from edgemed.model_file import open_model

HEADER = CaseHeader(age="54", sex="M", weight="80", allergies="penicillin", medicines="warfarin", egfr="28")
TURNS, ANSWER_TOKENS = 4, 40


def asked(engine: Engine, conversation: Conversation, question: str) -> str:
    """Ask, and say how much of the prompt was reused."""
    reused = total = 0
    seconds = 0.0
    for event in ask(engine, conversation, conversation.ask(question), Sampling(max_tokens=ANSWER_TOKENS)):
        if isinstance(event, PromptProgress):
            reused, total = event.reused, event.total
        elif isinstance(event, Finished):
            seconds = (event.prompt_tokens - reused) / (event.prefill_tokens_per_s or 1)
    return f"{total:5} tokens, {reused:5} from the KV cache, {total - reused:5} computed in {seconds:.2f} s"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model", type=Path)
    path = parser.parse_args(arguments).model
    print(f"{open_model(path).name}; the header is {len(HEADER.prompt('en'))} characters of the prompt")
    with Engine.start(path, EngineSettings()) as engine:
        conversation = Conversation(header=HEADER)
        for number in range(TURNS):
            print(f"question {number + 1}:      {asked(engine, conversation, f'What next, step {number + 1}?')}")
        conversation.header = replace(HEADER, born="1972-04-03", number="123")
        print(f"identity changed: {asked(engine, conversation, 'And now?')}")
        conversation.header = replace(HEADER, allergies="penicillin, latex")
        print(f"allergies changed: {asked(engine, conversation, 'And now?')}")


if __name__ == "__main__":
    main()
