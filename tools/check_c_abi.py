"""Compare the C functions that capi.h declares with Python's ctypes signatures and with the built library.

Run as `make lint`. Prints one line for each difference and then fails.
"""

from __future__ import annotations

import ctypes
import importlib
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import edgemed.native
from edgemed.native import LIBRARY, Signatures

HEADER = Path(edgemed.native.__file__).parent / "capi.h"
ADDRESS_ONLY = {"edgemed_abort_callback"}  # passed to llama.cpp as a pointer, never called from Python

_SCALARS = {
    "void": None,
    "bool": ctypes.c_bool,
    "int": ctypes.c_int,
    "int64_t": ctypes.c_int64,
    "uint64_t": ctypes.c_uint64,
    "size_t": ctypes.c_size_t,
    "float": ctypes.c_float,
}
_FUNCTION = re.compile(r"EDGEMED_API\s+([\w:\s*]+?)\s*\b(edgemed_\w+)\s*\(([^)]*)\)\s*;")


@dataclass(frozen=True)
class Function:
    """A declaration of capi.h; types are written as in C, without `const`."""

    result: str
    arguments: tuple[str, ...]


def parse(header: str) -> dict[str, Function]:
    """Read all declarations of a header. Raises ValueError if one cannot be parsed."""
    code = re.sub(r"//[^\n]*|/\*.*?\*/", "", header, flags=re.DOTALL)
    functions = {}
    for result, name, arguments in _FUNCTION.findall(code):
        each = [a for a in (a.strip() for a in arguments.split(",")) if a not in ("", "void")]
        functions[name] = Function(_type(result), tuple(_type(re.sub(r"\w+$", "", a)) for a in each))
    uses = len(re.findall(r"^\s*EDGEMED_API\b", code, flags=re.MULTILINE))
    if uses != len(functions):
        raise ValueError(f"{uses} lines begin with EDGEMED_API, but only {len(functions)} declarations were parsed")
    return functions


def _type(text: str) -> str:
    words = re.sub(r"\b(const|struct)\b|edgemed::", " ", text).replace("*", " * ").split()
    return " ".join(words)


def matches(c: str, python: Any) -> bool:
    """Return whether a ctypes type can stand for a C type.

    Any pointer may be c_void_p, a pointer to bytes also c_char_p, and a pointer to a struct also POINTER of a class
    with the struct's name.
    """
    if not c.endswith("*"):
        return c in _SCALARS and python is _SCALARS[c]
    pointee = c.removesuffix("*").strip()
    if python is ctypes.c_void_p:
        return True
    if python is ctypes.c_char_p:
        return pointee in ("char", "uint8_t")
    struct = getattr(python, "_type_", None)
    return isinstance(struct, type) and struct.__name__.lstrip("_") == pointee


def signatures() -> dict[str, Signatures]:
    """Return all _SIGNATURES of edgemed.native, by module."""
    names = [f"edgemed.native.{path.stem}".removesuffix(".__init__") for path in sorted(HEADER.parent.glob("*.py"))]
    found = {name: getattr(importlib.import_module(name), "_SIGNATURES", None) for name in names}
    return {name: table for name, table in found.items() if table is not None}


def exported(library: Path) -> set[str]:
    """Return the library's exported functions named edgemed_*. Raises OSError if the library or nm is missing."""
    if not library.is_file():
        raise FileNotFoundError(f"{library.name} is not built; run make setup")
    done = subprocess.run(["nm", "-D", "--defined-only", library], capture_output=True, text=True, check=True)
    return {symbol for line in done.stdout.splitlines() if (symbol := line.split()[-1]).startswith("edgemed_")}


def differences(
    declared: Mapping[str, Function], tables: Mapping[str, Signatures], symbols: Iterable[str]
) -> list[str]:
    """Return one sentence for each difference between header, Python and library."""
    found = []
    bound: dict[str, str] = {}
    for module, table in tables.items():
        for name, (result, arguments) in table.items():
            if name in bound:
                found.append(f"{name}: bound in both {bound[name]} and {module}.")
            bound[name] = module
            if (function := declared.get(name)) is None:
                found.append(f"{name}: {module} binds it, but capi.h does not declare it.")
                continue
            if not matches(function.result, result):
                found.append(f"{name}: returns {function.result}, but {module} says {_name(result)}.")
            if len(function.arguments) != len(arguments):
                found.append(f"{name}: takes {len(function.arguments)} arguments, but {module} says {len(arguments)}.")
                continue
            found += [
                f"{name}: argument {i} is {c}, but {module} says {_name(python)}."
                for i, (c, python) in enumerate(zip(function.arguments, arguments, strict=True), 1)
                if not matches(c, python)
            ]
    unbound = sorted(declared.keys() - bound.keys() - ADDRESS_ONLY)
    found += [f"{name}: declared in capi.h, but no binding has a signature for it." for name in unbound]
    found += [f"{name}: exported, but capi.h does not declare it." for name in sorted(set(symbols) - declared.keys())]
    found += [f"{name}: declared in capi.h, but not exported." for name in sorted(declared.keys() - set(symbols))]
    return found


def _name(python: Any) -> str:
    return "None" if python is None else str(getattr(python, "__name__", python))


def main() -> int:
    """Print the differences; return 1 if there are any."""
    try:
        found = differences(parse(HEADER.read_text()), signatures(), exported(LIBRARY))
    except (OSError, ValueError, subprocess.CalledProcessError) as error:
        found = [f"The C interface cannot be checked: {error}."]
    for sentence in found:
        print(sentence, file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
