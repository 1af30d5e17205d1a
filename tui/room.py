"""How much of an answer the model's context still has room for. Pure logic."""

from __future__ import annotations

from edgemed.chat.conversation import Conversation
from edgemed.chat.lengths import Length, with_instruction
from edgemed.clinical import Language
from edgemed.engine.process.protocol import Message
from edgemed.tui.strings.asking import AskingStrings

TEMPLATE_TOKENS = 12
"""About how many tokens a chat template adds to a question."""
WORTH_SAYING = 1000
"""Room for more words than this need not be said."""
WORDS_PER_TOKEN: dict[Language, float] = {"en": 0.75, "zh-CN": 1.5}
"""English words, or Chinese characters, of an answer; about."""


def estimated_tokens(text: str) -> int:
    """About how many tokens `text` has: a token for every four ASCII characters and for every other character."""
    ascii_characters = len(text.encode("ascii", "ignore"))  # fast: all turns are counted at every key
    return len(text) - ascii_characters + -(-ascii_characters // 4)


def conversation_tokens(conversation: Conversation) -> int:
    """How many tokens the conversation has; about, if the engine has not counted them."""
    counted = (estimated_tokens(turn.told) + estimated_tokens(turn.raw) for turn in conversation.turns)
    return conversation.context_used or sum(tokens + TEMPLATE_TOKENS for tokens in counted)


def prompt_with(conversation: Conversation, draft: str, length: Length) -> list[Message]:
    """The messages that would be sent if `draft` were asked now."""
    return conversation.messages_with(draft, length)


def estimated_prompt(conversation: Conversation, draft: str, length: Length) -> int:
    """About how many tokens that prompt has."""
    question = with_instruction(draft, length)
    queued = sum(estimated_tokens(each.text) for each in conversation.queued)
    before = conversation_tokens(conversation) or estimated_tokens(conversation.preface)
    return before + queued + estimated_tokens(question) + TEMPLATE_TOKENS


def room_left(tokens: int, language: Language, words: AskingStrings) -> str:
    """What to say when `tokens` are left for an answer; empty if there is plenty."""
    count = round(abs(tokens) * WORDS_PER_TOKEN[language])
    if tokens <= 0:
        return words.no_room.format(words=max(1, _rounded(count)))
    return words.room.format(words=_rounded(count)) if count < WORTH_SAYING else ""


def _rounded(count: int) -> int:
    step = 10 if count < 200 else 50
    return count if count < 20 else count // step * step
