"""The batch scratch that `--ram` counts, for shapes whose numbers were recorded when Python computed them."""

from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest
from gguf import GGMLQuantizationType as Type

from edgemed.engine import budget
from edgemed.native.instructions import Instructions
from testing.processor import AVX2, AVX512, limited_to, skip_without

USED = 8  # experts per token
SMALL_BATCH = 8


class Shape(NamedTuple):
    """experts: the types of each expert, for all three matrices or as GATE/UP/DOWN."""

    experts: str
    n_embd: int
    n_ff_exp: int
    n_ff: int
    n_batch: int
    observed: bool = False


RECORDED = {
    Instructions.NONE: {
        Shape("Q4_K Q6_K", 4096, 1024, 9216, 4096): 98_566_144,
        Shape("Q8_0", 512, 512, 1024, 512, observed=True): 10_485_760,
        Shape("F16", 96, 64, 128, 256): 1_081_344,
    },
    Instructions.AVX2: {
        Shape("Q2_K Q4_K Q6_K", 4096, 1024, 9216, 4096): 94_516_480,
        Shape("Q2_K Q4_K Q6_K", 4096, 1024, 9216, 4096, observed=True): 295_843_072,
        Shape("Q2_K Q4_K Q6_K", 4096, 1024, 9216, 64): 33_038_080,
        Shape("Q3_K IQ2_XXS IQ3_S", 4096, 1024, 9216, 2048): 81_776_384,
        Shape("IQ1_S IQ1_M", 2048, 512, 5120, 1024): 22_287_104,
        Shape("Q8_0", 512, 512, 1024, 4096): 28_361_984,
        Shape("Q8_0 Q4_K", 2048, 512, 5120, 1000): 36_343_680,
        Shape("Q8_0 Q3_K IQ4_XS", 2048, 512, 5120, 257): 30_441_552,
        Shape("Q8_0 F16", 1024, 256, 2048, 512): 18_929_152,
        Shape("Q4_K/Q4_K/Q8_0", 2048, 768, 6144, 512): 21_783_040,
        Shape("IQ2_S/IQ3_XXS/Q6_K Q2_K", 4096, 2048, 1024, 8192, observed=True): 745_203_200,
        Shape("F16 F32", 256, 256, 512, 2048): 5_242_880,
        Shape("BF16", 2048, 512, 5120, 333, observed=True): 26_640_384,
        Shape("Q8_0", 96, 64, 128, 256): 1_081_344,
    },
    Instructions.AVX512: {
        Shape("Q2_K Q4_K Q6_K", 4096, 1024, 9216, 4096): 236_074_240,
        Shape("Q3_K Q5_K IQ4_XS Q8_0", 4096, 1024, 9216, 2048): 163_532_544,
        Shape("Q4_K/Q6_K/IQ2_XS", 2048, 512, 5120, 12, observed=True): 19_847_936,
    },
}


def types(shape: Shape) -> np.ndarray[Any, np.dtype[np.int32]]:
    """[layer, expert, projection]: three layers, the last of them MTP's, which the engine does not compute."""
    each = [[int(Type[name]) for name in (expert.split("/") * 3)[:3]] for expert in shape.experts.split()]
    mtp = [[int(Type.Q4_0)] * 3] * len(each)
    return np.array([each, each[::-1], mtp], np.int32)


@pytest.mark.parametrize(
    ("which", "shape"), [(which, shape) for which, shapes in RECORDED.items() for shape in shapes], ids=str
)
def test_batch_scratch_is_as_recorded(which: Instructions, shape: Shape) -> None:
    if which is not Instructions.NONE:
        skip_without(AVX512 if which is Instructions.AVX512 else AVX2)
    hparams = SimpleNamespace(
        n_layer=3,
        n_dense_lead=1,
        n_embd=shape.n_embd,
        n_ff_exp=shape.n_ff_exp,
        n_ff=shape.n_ff,
        n_expert_used=USED,
        n_moe_layers=2,
    )
    file: Any = SimpleNamespace(hparams=hparams, experts=SimpleNamespace(type=types(shape)))
    with limited_to(which):
        found = budget._batch_scratch(file, shape.n_batch, observed=shape.observed)
    outputs = SMALL_BATCH * (USED + 2) * shape.n_embd * 4  # of a small batch, which came later
    assert found == RECORDED[which][shape] + outputs
