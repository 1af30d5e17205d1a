"""The table of types agrees with the installed ggml."""

from pathlib import Path

import pytest

from edgemed.errors import PlanError, SetupError
from edgemed.ggml import Ggml, ggml, library_folder
from edgemed.quant import types
from edgemed.quant.codecs import codec
from edgemed.quant.types import Type


@pytest.mark.parametrize("type_", types.ALLOWED)
def test_sizes_and_needs_agree_with_ggml(type_: Type) -> None:
    assert types.block_size(type_) == ggml().block_size(type_)
    assert types.row_bytes(type_, 512) == ggml().row_size(type_, 512)
    assert (type_ in types.NEEDS_IMPORTANCE) == ggml().requires_importance(type_)
    assert ggml().type_name(type_).upper() == type_.name


def test_palettes_are_ordered_by_bits() -> None:
    for palette in types.PALETTES.values():
        for allowed in (palette.plain, palette.calibrated):
            bits = [types.bits_per_weight(type_) for type_ in allowed]
            assert bits == sorted(bits)
        assert set(palette.calibrated) <= set(palette.plain)
    assert set(types.FAST) < set(types.SMALL)


def test_calibration_uses_only_types_it_can_compensate() -> None:
    for palette in types.PALETTES.values():
        assert None not in map(codec, palette.calibrated)


def test_known_bits_per_weight() -> None:
    assert float(types.bits_per_weight(Type.Q4_K)) == 4.5
    assert float(types.bits_per_weight(Type.Q2_K)) == 2.625
    assert float(types.bits_per_weight(Type.F32)) == 32


@pytest.mark.parametrize(
    ("bits", "palette", "expected"),
    [(4.5, "fast", Type.Q4_K), (1, "fast", Type.Q2_K), (99, "fast", Type.Q6_K), (3, "small", Type.IQ3_XXS)],
)
def test_nearest_type(bits: float, palette: str, expected: Type) -> None:
    assert types.nearest_type(bits, types.palette(palette).plain) == expected


@pytest.mark.parametrize(
    ("columns", "expected"), [(256, Type.Q4_K), (96, Type.Q8_0), (33, Type.F16), (4096, Type.Q4_K)]
)
def test_short_rows_get_a_more_precise_type(columns: int, expected: Type) -> None:
    assert types.storable(Type.Q4_K, columns) == expected


def test_unknown_types_and_palettes_are_refused() -> None:
    with pytest.raises(PlanError, match=r'"Q4_0" is not a type a plan may use; it may use IQ1_S, .*F32\.'):
        types.parse_type("Q4_0")
    with pytest.raises(PlanError, match="choose fast or small"):
        types.palette("tiny")
    with pytest.raises(PlanError, match="do not divide"):
        types.row_bytes(Type.Q4_K, 300)


def test_missing_or_untested_ggml_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SetupError, match="reinstall"):
        Ggml(library_folder() / "libggml-none.so")
    monkeypatch.setattr("edgemed.ggml.KNOWN_VERSIONS", ("0.0.1",))
    with pytest.raises(SetupError, match=r"was tested only with 0\.0\.1;"):
        Ggml(library_folder() / "libggml-base.so.0")


def test_ggml_is_the_one_that_libllama_uses() -> None:
    import llama_cpp

    assert llama_cpp.llama_max_devices() > 0
    maps = Path("/proc/self/maps").read_text("utf-8")
    mapped = {line.split()[-1] for line in maps.splitlines() if "libggml-base" in line}
    ggml()
    assert mapped == {str(library_folder() / "libggml-base.so.0")}
