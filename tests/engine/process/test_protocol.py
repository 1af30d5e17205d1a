"""Frames can be cut anywhere, and garbled data is an error."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemed.engine.process.frames import MAX_FRAME_BYTES, Frames, encode
from edgemed.engine.process.messages import AnyMessage, Generate, GetPreview, GetStoreState, Start, Stop
from edgemed.engine.process.protocol import (
    EngineSettings,
    EngineStats,
    Finished,
    Message,
    Piece,
    Preview,
    PromptEncoded,
    PromptProgress,
    Sampling,
    StoreState,
)
from edgemed.errors import EngineError

TEXT = st.text(max_size=20)
MESSAGES: st.SearchStrategy[AnyMessage] = st.one_of(
    st.builds(Piece, TEXT, st.integers(0, 9)),
    st.builds(PromptProgress, st.integers(0, 9), st.integers(0, 9), st.integers(0, 9)),
    st.builds(Start, TEXT, st.builds(EngineSettings, ram_bytes=st.none() | st.integers(0, 1 << 60))),
    st.builds(
        Generate,
        st.lists(st.builds(Message, st.sampled_from(["system", "user", "assistant"]), TEXT), max_size=3).map(tuple),
        st.builds(Sampling, seed=st.none() | st.integers(0, 2**64 - 1), temperature=st.floats(0, 9)),
        st.booleans(),
    ),
    st.builds(GetPreview, st.just((Message("user", "q"),)), TEXT),
    st.builds(Preview, st.integers(0, 99), TEXT, TEXT, st.integers(0, 99)),
    st.just(Stop()),
    st.just(GetStoreState()),
    st.builds(
        StoreState.of,
        st.integers(0, 40),
        st.tuples(*[st.binary(max_size=30)] * 3),
        st.builds(
            EngineStats,
            st.integers(0, 9),
            st.floats(0, 9),
            *[st.integers(0, 9)] * 2,
            st.none() | st.floats(0, 1),
            st.integers(0, 9),
            st.floats(0, 9),
            st.integers(0, 9),
        ),
    ),
    st.builds(
        Finished,
        st.sampled_from(["end", "length", "context", "stopped"]),
        TEXT,
        *[st.integers(0, 99)] * 3,
        *[st.floats(0, 99)] * 2,
        st.none() | st.floats(0, 1),
        *[st.integers(0, 99)] * 4,
        st.none() | TEXT,
    ),
    st.builds(PromptEncoded, st.integers(0, 99), TEXT),
)


@given(st.tuples(*[st.binary(max_size=99)] * 3))
def test_what_is_seen_of_the_experts_is_theirs_byte_for_byte(parts: tuple[bytes, bytes, bytes]) -> None:
    assert StoreState.of(3, parts, EngineStats(1, 2.0, 3, 4, None, 5, 6.0, 7)).parts == parts


@given(st.lists(st.tuples(TEXT, MESSAGES), max_size=5), st.data())
def test_frames_survive_any_cutting(sent: list[tuple[str, AnyMessage]], data: st.DataObject) -> None:
    stream = b"".join(encode(message, request) for request, message in sent)
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=6).map(sorted))
    frames, received = Frames(), []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        received += list(frames.feed(stream[start:end]))
    assert received == sent


def frame(content: object) -> bytes:
    body = json.dumps(content).encode()
    return len(body).to_bytes(4, "little") + body


@pytest.mark.parametrize(
    "content",
    [
        ["Nothing", "", {}],
        ["Piece", "", {"text": 3}],
        ["Piece", "", {"text": "a", "more": 1}],
        ["Piece", "", {}],
        ["Piece", "", []],
        ["Piece", 0, {"text": "a"}],
        ["Generate", "", {"messages": [{"role": "god", "content": ""}], "sampling": {}, "reuse": True}],
        ["PromptProgress", "", {"done": True, "total": 1, "reused": 0}],
        {"a": 1},
        7,
    ],
)
def test_garbled_messages_are_an_error(content: object) -> None:
    with pytest.raises(EngineError, match="garbled"):
        list(Frames().feed(frame(content)))


@pytest.mark.slow
def test_lengths_beyond_the_limit_are_refused_on_both_sides() -> None:
    with pytest.raises(EngineError, match="garbled"):
        list(Frames().feed((MAX_FRAME_BYTES + 1).to_bytes(4, "little")))
    with pytest.raises(EngineError, match="shorten the text"):
        encode(Piece("x" * MAX_FRAME_BYTES))
