"""The model's vocabulary: text to token ids, ids to bytes, and the special tokens.

Only the chat template may write special tokens. llama.cpp's tokenizer recognises them by their text. Where such a text
contains characters from a message, the prompt is therefore split, and that part is tokenised as plain text.

Why: docs/decisions.md#long-words.
"""

from __future__ import annotations

import ctypes
import functools
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any

from llama_cpp import llama_cpp

from edgemed.engine.chat_template import Span
from edgemed.errors import EngineError, ModelFileError

_UNKNOWN, _CONTROL, _USER_DEFINED = 1, 8, 16  # enum llama_token_attr
_PARSED_FROM_TEXT = _UNKNOWN | _CONTROL | _USER_DEFINED
_NO_TOKEN = -1
_LONGEST_RUN = 4096
"""Characters of one kind in a row. llama.cpp splits text into words with std::regex, which recurses once per character:
26,000 consecutive letters, spaces or symbols overflow a stack of 8 MiB. No real word is this long."""


class Vocabulary:
    """A view of a `llama_vocab`, which must outlive it.

    ends: token ids from the file that end a turn; end_tokens: texts of special tokens from the model's family that end
    one. Both are needed: llama.cpp's list can lack some, and a file may name only one.

    Raises ModelFileError for a model without a vocabulary.
    """

    def __init__(self, vocab: Any, ends: Iterable[int], end_tokens: Collection[str]) -> None:
        if llama_cpp.llama_vocab_type(vocab) == llama_cpp.LLAMA_VOCAB_TYPE_NONE:  # else libllama aborts later
            raise ModelFileError("The model file has no vocabulary; convert the checkpoint again.")
        self._vocab = vocab
        self.size = int(llama_cpp.llama_vocab_n_tokens(vocab))
        self.special = {
            token: text
            for token in range(self.size)
            if llama_cpp.llama_vocab_get_attr(vocab, token) & _PARSED_FROM_TEXT and (text := self.text(token))
        }
        named = {llama_cpp.llama_vocab_eos(vocab), llama_cpp.llama_vocab_eot(vocab), *ends}
        by_text = {token for token, text in self.special.items() if text in end_tokens}
        by_llama = {token for token in self.special if llama_cpp.llama_vocab_is_eog(vocab, token)}
        self.ends = frozenset(token for token in named | by_text | by_llama if 0 <= token < self.size)
        self._reserved = self.ends | self.special.keys()
        self.reserved_texts = sorted({self.text(token) for token in self._reserved})

    def text(self, token: int) -> str:
        """The token's text in the vocabulary."""
        return bytes(llama_cpp.llama_vocab_get_text(self._vocab, token)).decode(errors="replace")

    def template_variables(self) -> dict[str, str]:
        """`bos_token` and the like, for chat templates."""
        named = {
            "bos_token": llama_cpp.llama_vocab_bos(self._vocab),
            "eos_token": llama_cpp.llama_vocab_eos(self._vocab),
            "pad_token": llama_cpp.llama_vocab_pad(self._vocab),
        }
        return {name: self.text(token) if token != _NO_TOKEN else "" for name, token in named.items()}

    def encode(self, spans: Sequence[Span]) -> list[int]:
        """The token ids of a rendered prompt. Special tokens come only from the template's text."""
        tokens: list[int] = []
        for text, plain in self._pieces(spans):
            tokens += self._encode_plain(text) if plain else self._tokenize(text, parse_special=True)
        return tokens

    def _pieces(self, spans: Sequence[Span]) -> Iterator[tuple[str, bool]]:
        """Split the prompt into (text, plain). A text of a special token that includes characters from a message is
        plain: it must not be parsed as a special token."""
        text = "".join(span.text for span in spans)
        from_message = bytearray().join((b"\1" if span.from_message else b"\0") * len(span.text) for span in spans)
        plain = bytearray(len(text))
        for special in self.reserved_texts:
            at = text.find(special)
            while at >= 0:
                end = at + len(special)
                plain[at:end] = bytes(a | b for a, b in zip(plain[at:end], from_message[at:end], strict=True))
                at = text.find(special, at + 1)
        for is_plain, run in groupby(range(len(text)), plain.__getitem__):
            first, *rest = run
            yield text[first : (rest or [first])[-1] + 1], bool(is_plain)

    def _encode_plain(self, text: str) -> list[int]:
        tokens = self._tokenize(text, parse_special=False)
        if self._reserved.isdisjoint(tokens):
            return tokens
        # User-defined tokens are found even in plain text. Spelled byte by byte, the text is the same without them.
        return [self._byte_tokens[byte] for byte in text.encode(errors="replace")]

    def _tokenize(self, text: str, *, parse_special: bool) -> list[int]:
        whole = self.reserved_texts if parse_special else ()
        return [token for part in _split_long_runs(text, whole) for token in self._tokens(part, parse_special)]

    def _tokens(self, text: str, parse_special: bool) -> list[int]:
        data = text.encode(errors="replace")
        room = len(data) + 1
        while True:
            tokens = (llama_cpp.llama_token * room)()
            count = llama_cpp.llama_tokenize(self._vocab, data, len(data), tokens, room, False, parse_special)
            if count >= 0:
                return list(tokens[:count])
            if -count <= room:
                raise EngineError(f"The tokenizer refused a text of {len(data)} bytes; shorten it.")
            room = -count

    @functools.cached_property
    def _byte_tokens(self) -> list[int]:
        """The token of each single byte."""
        by_bytes = {self.piece(token): token for token in range(self.size) if token not in self._reserved}
        try:
            return [by_bytes[bytes([byte])] for byte in range(256)]
        except KeyError as error:
            raise EngineError(
                f"The model's vocabulary has no token for the byte {error}; convert the checkpoint again."
            ) from None

    @functools.lru_cache(maxsize=1 << 14)  # noqa: B019 - one vocabulary lives as long as its process
    def piece(self, token: int) -> bytes:
        """The bytes that `token` adds to a text, which may be part of a character. A special token adds its text."""
        room = 64
        while True:
            buffer = ctypes.create_string_buffer(room)
            length = llama_cpp.llama_token_to_piece(self._vocab, token, buffer, room, 0, True)
            if length >= 0:
                return buffer.raw[:length]
            room = -length


def _split_long_runs(text: str, whole: Sequence[str]) -> Iterator[str]:
    """Split the text so that no part has _LONGEST_RUN characters of one kind in a row, but never inside a text of
    `whole`."""
    at = run = 0  # starts of this part and of the current run
    kind, known = "", -1  # the kind of the run, and the last character whose kind is certain
    for i, character in enumerate(text):
        if its := _kind(character):
            if its != kind:
                run = known + 1  # characters of uncertain kind count towards both runs
            kind, known = its, i
        if i - run >= _LONGEST_RUN:
            # Split here, or before the first of `whole` that this point would cut in two.
            straddling = (text.find(part, max(at, i - len(part) + 1), i + len(part) - 1) for part in whole)
            cut = min((begin for begin in straddling if begin >= 0), default=i)
            yield text[at:cut]
            at = run = cut
    yield text[at:]


@functools.cache
def _kind(character: str) -> str:
    """The kind of a character: L letter, N number, Z space or S symbol. Empty if Python and llama.cpp may disagree:
    control characters, and those of a newer Unicode version."""
    category = unicodedata.category(character)
    if category in ("Cc", "Cn"):
        return "Z" if character in " \t\n\r" else ""
    return category[0] if category[0] in "LNZ" else "S"
