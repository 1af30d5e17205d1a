"""Stock llama.cpp, through llama_cpp in a separate process, on files that the converter writes."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from gguf import GGMLQuantizationType as Type

from edgemed.convert import convert
from edgemed.quant.plan import Plan
from testing.checkpoints import make_checkpoint
from testing.engine_probe import Probe, run_probes
from testing.reference import forward, load_checkpoint
from testing.tokenizers_json import special_ids
from tests.convert.conftest import TINY

# Prints what llama.cpp reads from the file, or its reason for refusing it.
LOOK = """
import json, sys
import llama_cpp
try:
    llama = llama_cpp.Llama(sys.argv[1], n_ctx=64, vocab_only=False, verbose=True)
except ValueError as error:
    sys.exit(str(error))
vocab = llama_cpp.llama_model_get_vocab(llama.model)
text = "What are the symptoms of diabetes?\\n\\n患者 12.5 mg"
print(json.dumps({
    "ends": [i for i in range(llama.n_vocab()) if llama_cpp.llama_vocab_is_eog(vocab, i)],
    "bos": llama.token_bos(), "eos": llama.token_eos(),
    "adds": [bool(llama_cpp.llama_vocab_get_add_bos(vocab)), bool(llama_cpp.llama_vocab_get_add_eos(vocab))],
    "ids": llama.tokenize(text.encode(), add_bos=False, special=False),
    "back": llama.detokenize(llama.tokenize(text.encode(), add_bos=False, special=False)).decode(),
    "chat": llama.metadata.get("tokenizer.chat_template"),
    "answer": llama.create_chat_completion([{"role": "user", "content": "pain?"}], max_tokens=4)["choices"][0],
}))
"""


def look(path: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", LOOK, str(path)], capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_stock_llama_loads_the_stock_layout(small: Path, tmp_path: Path) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    convert(str(small), tmp_path / "out.gguf", Plan.uniform(4.5), layout="llama.cpp")
    seen = look(tmp_path / "out.gguf")
    assert seen.returncode == 0, seen.stderr[-2000:]
    found = json.loads(seen.stdout.splitlines()[-1])
    ids = special_ids()
    assert {ids["<|endoftext|>"], ids["<|role_end|>"]} <= set(found["ends"])
    assert (found["bos"], found["eos"]) == (ids["<|startoftext|>"], ids["<|endoftext|>"])
    assert found["adds"] == [False, False]
    assert found["chat"] == json.loads((small / "tokenizer_config.json").read_text())["chat_template"]
    tokenizer = tokenizers.Tokenizer.from_file(str(small / "tokenizer.json"))
    assert found["ids"] == tokenizer.encode(found["back"], add_special_tokens=False).ids
    assert found["answer"]["message"]["role"] == "assistant"


@pytest.mark.slow
def test_stock_llama_computes_the_checkpoint_logits(tmp_path: Path) -> None:
    """The file has an MTP layer, which stock llama.cpp skips."""
    folder = make_checkpoint(tmp_path / "checkpoint", replace(TINY, num_nextn_predict_layers=1, num_shared_experts=2))
    convert(str(folder), tmp_path / "out.gguf", Plan.uniform(Type.F32), layout="llama.cpp")
    ids = (300, 12, 45, 260, 7, 99)
    wanted = forward(load_checkpoint(folder), ids)
    assert wanted.margin > 1e-4  # so float32 rounding cannot have changed a choice of experts
    (answer,) = run_probes(tmp_path, Probe(str(tmp_path / "out.gguf"), ids, stock=True))
    assert np.abs(answer.logits - wanted.logits).max() < 1e-3


@pytest.mark.slow
def test_stock_llama_refuses_the_edgemed_layout(small: Path, tmp_path: Path) -> None:
    convert(str(small), tmp_path / "out.gguf", Plan.uniform(4.5))
    seen = look(tmp_path / "out.gguf")
    assert seen.returncode == 1
    assert "tensor 'blk.1.ffn_gate_exps.weight' not found" in seen.stderr
