"""Whatever a checkpoint's JSON files contain, the user gets a sentence and never a traceback."""

import copy
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgemed.architectures import find_architecture
from edgemed.architectures.bailing_moe_v2 import ANTANGELMED
from edgemed.convert import convert
from edgemed.convert.checkpoint_folder import MARKING
from edgemed.convert.shards import INDEX, Shards
from edgemed.convert.source import find_source
from edgemed.convert.tokenizer import read_tokenizer
from edgemed.errors import CheckpointError
from edgemed.quant.plan import Plan
from testing import tokenizers_json
from testing.checkpoints import make_checkpoint
from tests.convert.conftest import TINY

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 70), 1 << 70)
    | st.floats()
    | st.text(max_size=8)
    | st.just("\ud800"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
MODEL = replace(ANTANGELMED, n_vocab=tokenizers_json.vocab_size())
MANY = settings(max_examples=60)


def paths(value: Any, here: tuple[Any, ...] = (), depth: int = 4) -> list[tuple[Any, ...]]:
    """Return the path of every place in a JSON document, but only of a few items of each long list or object."""
    if depth == 0 or not isinstance(value, dict | list):
        return [here]
    members = list(value.items() if isinstance(value, dict) else enumerate(value))
    members = members[:32] if depth == 4 else members[:12]
    return [here, *(place for key, inner in members for place in paths(inner, (*here, key), depth - 1))]


def changed(document: Any, place: tuple[Any, ...], value: Any) -> Any:
    if not place:
        return value
    document = copy.copy(document)
    document[place[0]] = changed(document[place[0]], place[1:], value)
    return document


TOKENIZER = tokenizers_json.tokenizer_json()
TOKENIZER["post_processor"] = {"type": "Sequence", "processors": [{"type": "TemplateProcessing", "single": [{}]}]}
COMPANION = tokenizers_json.tokenizer_config()
COMPANION["chat_template"] = [{"name": "default", "template": "x"}]


def write(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value))


@pytest.mark.slow
@MANY
@given(place=st.sampled_from(paths(TOKENIZER)), value=JSON)
def test_tokenizer_json(tmp_path: Path, place: tuple[Any, ...], value: Any) -> None:
    write(tmp_path / "tokenizer.json", changed(TOKENIZER, place, value))
    try:
        read = read_tokenizer(tmp_path, MODEL)
    except CheckpointError:
        return
    for token in read.tokens:
        token.encode()


@pytest.mark.slow
@MANY
@given(place=st.sampled_from(paths(COMPANION)), value=JSON, ends=JSON)
def test_tokenizer_config_json(tmp_path: Path, place: tuple[Any, ...], value: Any, ends: Any) -> None:
    write(tmp_path / "tokenizer.json", TOKENIZER)
    write(tmp_path / "tokenizer_config.json", changed(COMPANION, place, value))
    write(tmp_path / "generation_config.json", {"eos_token_id": ends})
    try:
        read = read_tokenizer(tmp_path, MODEL)
    except CheckpointError:
        return
    (read.chat_template or "").encode()


@MANY
@given(
    place=st.sampled_from(paths(TINY.config("fp8") | {"rope_scaling": {"type": "yarn", "factor": 2.0}})),
    value=JSON,
    marking=st.none() | st.dictionaries(st.sampled_from(["name", "repository", "revision"]), JSON),
)
def test_config_json(tmp_path: Path, place: tuple[Any, ...], value: Any, marking: Any) -> None:
    config = TINY.config("fp8") | {"rope_scaling": {"type": "yarn", "factor": 2.0}}
    write(tmp_path / "config.json", changed(config, place, value))
    write(tmp_path / MARKING, {} if marking is None else marking)
    try:
        source = find_source(str(tmp_path))
        assert source.fp8_block > (0, 0)
        hparams, _ = find_architecture(source.config).read_config(source.config, {})
        if hparams.n_layer < 100:
            assert list(hparams.dense_tensors())
    except CheckpointError:
        return
    source.name.encode()


@MANY
@given(value=JSON, shard=JSON)
def test_index_json(tmp_path: Path, value: Any, shard: Any) -> None:
    for index in (value, {"weight_map": value}, {"weight_map": {"w": shard}}):
        write(tmp_path / INDEX, index)
        try:
            Shards(tmp_path).close()
        except CheckpointError:
            continue
        raise AssertionError("a checkpoint without a shard was accepted")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["pipe", "endless"])
@pytest.mark.parametrize(
    "name",
    ["config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "model.safetensors", INDEX],
)
def test_special_files_are_not_read(tmp_path: Path, name: str, kind: str) -> None:
    """Reading a pipe would wait for ever, and reading a device would fill the memory."""
    folder = make_checkpoint(tmp_path / "checkpoint", TINY, shards=1)
    path = folder / name
    path.unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero")
    with pytest.raises(CheckpointError, match="cannot be read: it is not a regular file"):
        convert(str(folder), tmp_path / "out.gguf", Plan.uniform(4.5))
