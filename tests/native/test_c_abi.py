"""The lint of the C interface: the repository passes, and every kind of seeded mismatch is found."""

import ctypes
import importlib.util
import sys
from pathlib import Path

import pytest

from edgemed.native import LIBRARY

TOOL = Path(__file__).parents[2] / "tools" / "check_c_abi.py"
_spec = importlib.util.spec_from_file_location("check_c_abi", TOOL)
assert _spec is not None
assert _spec.loader is not None
check_c_abi = importlib.util.module_from_spec(_spec)
sys.modules["check_c_abi"] = check_c_abi
_spec.loader.exec_module(check_c_abi)

HEADER = """
#define EDGEMED_API extern "C"
// EDGEMED_API int edgemed_in_a_comment();
EDGEMED_API void * edgemed_open(const char * path, const edgemed::Options * options,
                                uint64_t size);
EDGEMED_API int edgemed_count();
"""


class _Options(ctypes.Structure):
    pass


class _Other(ctypes.Structure):
    pass


OPEN = (ctypes.c_void_p, (ctypes.c_char_p, ctypes.POINTER(_Options), ctypes.c_uint64))
COUNT = (ctypes.c_int, ())
EXPORTED = {"edgemed_open", "edgemed_count"}


def differences(open_: object = OPEN, header: str = HEADER, exported: set[str] = EXPORTED, **more: object) -> list[str]:
    table = {"edgemed_open": open_, "edgemed_count": COUNT} | more
    return list(check_c_abi.differences(check_c_abi.parse(header), {"binding": table}, exported))


def test_the_repository_has_no_difference() -> None:
    declared = check_c_abi.parse(check_c_abi.HEADER.read_text())
    assert len(declared) >= 40
    assert check_c_abi.differences(declared, check_c_abi.signatures(), check_c_abi.exported(LIBRARY)) == []


def test_equal_declarations_pass() -> None:
    assert differences() == []
    assert differences((ctypes.c_void_p, (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint64))) == []


@pytest.mark.parametrize(
    ("signature", "expected"),
    [
        ((ctypes.c_int, OPEN[1]), "edgemed_open: returns void *, but binding says c_int."),
        ((None, OPEN[1]), "edgemed_open: returns void *, but binding says None."),
        ((OPEN[0], OPEN[1][:2]), "edgemed_open: takes 3 arguments, but binding says 2."),
        (
            (OPEN[0], (*OPEN[1][:2], ctypes.c_uint32)),
            "edgemed_open: argument 3 is uint64_t, but binding says c_uint.",
        ),
        (
            (OPEN[0], (OPEN[1][0], ctypes.POINTER(_Other), OPEN[1][2])),
            "edgemed_open: argument 2 is Options *, but binding says LP__Other.",
        ),
        (
            (OPEN[0], (OPEN[1][0], ctypes.c_char_p, OPEN[1][2])),
            "edgemed_open: argument 2 is Options *, but binding says c_char_p.",
        ),
    ],
)
def test_a_wrong_signature_is_found(signature: object, expected: str) -> None:
    assert differences(signature) == [expected]


def test_a_function_that_one_side_lacks_is_found() -> None:
    assert differences(edgemed_new=COUNT) == ["edgemed_new: binding binds it, but capi.h does not declare it."]
    assert differences(header=HEADER + "EDGEMED_API int edgemed_new();\n", exported={*EXPORTED, "edgemed_new"}) == [
        "edgemed_new: declared in capi.h, but no binding has a signature for it."
    ]
    assert differences(exported={*EXPORTED, "edgemed_new"}) == [
        "edgemed_new: exported, but capi.h does not declare it."
    ]
    assert differences(exported={"edgemed_open"}) == ["edgemed_count: declared in capi.h, but not exported."]


def test_an_unparsed_declaration_is_an_error() -> None:
    with pytest.raises(ValueError, match="3 lines begin with EDGEMED_API, but only 2 declarations were parsed"):
        check_c_abi.parse(HEADER + "EDGEMED_API int edgemed_callback(int (*f)(void));\n")
