"""Compile the C and C++ that tests need: the native library's checks, and the library that injects faulty reads."""

import os
import shutil
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import edgemed.native

CHECKS = Path(__file__).parents[1] / "tests" / "native"
NATIVE = Path(edgemed.native.__file__).parent
# The sources that the checks cover; none of them calls ggml.
_THREADED = ("store/*.cpp", "ggml/*.cpp", "instructions.cpp", "xxh3.cpp")
_KERNELS = ("matmul/*.cpp", "attention/*.cpp")  # the checks run them in one thread
_SOURCES = (*_THREADED, *_KERNELS)
_FLAGS = ("-O1", "-g1", "-fopenmp")  # flags of a caller come later and win
_WARNINGS = ("-std=c++17", "-Wall", "-Wextra", "-Wshadow", "-Werror")


class CannotBuildError(Exception):
    """There is no compiler, or it does not support the flags; the message is the compiler's."""


def build_faulty_reads(folder: Path) -> Path:
    """Build the library for LD_PRELOAD; tests/native/faulty_reads.c says how to use it. Raises CannotBuildError."""
    return _build_preloaded(folder, "faulty_reads")


def build_full_disk(folder: Path) -> Path:
    """The same for tests/native/full_disk.c."""
    return _build_preloaded(folder, "full_disk")


def _build_preloaded(folder: Path, name: str) -> Path:
    library = folder / f"{name}.so"
    _compile("gcc", "-shared", "-fPIC", "-O1", str(CHECKS / f"{name}.c"), "-o", str(library), "-ldl")
    return library


def build_checks(folder: Path, flags: Sequence[str] = (), kernels: Path | None = None) -> Path:
    """Build the program that checks the store and the kernels without ggml. Errors in our sources do not raise
    CannotBuildError.

    kernels: the folder of another build, whose object files of the kernels are linked instead of compiling them with
    `flags`.
    """
    probe = folder / "probe.cpp"
    probe.write_text("#include <thread>\nint main() { std::thread([] {}).join(); }\n")
    _compile("g++", *flags, str(probe), "-o", str(folder / "probe"), "-pthread")
    _run(str(folder / "probe"))  # a sanitizer's runtime may not work with this kernel
    together = folder / "checks.cpp"
    together.write_text("".join(f'#include "{path}"\n' for path in sorted(CHECKS.glob("*.cpp"))))
    objects = {together: "g++", CHECKS / "faulty_reads.c": "gcc"} | {
        source: "g++" for pattern in (_SOURCES if kernels is None else _THREADED) for source in NATIVE.glob(pattern)
    }

    def compile_one(item: tuple[Path, str]) -> str:
        source, compiler = item
        out = folder / f"{source.stem}.o"
        standard = _WARNINGS if compiler == "g++" else ()
        include = (f"-I{CHECKS}", f"-I{NATIVE}")
        _compile(compiler, *_FLAGS, *standard, *flags, *include, "-c", str(source), "-o", str(out), excused=False)
        return str(out)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        made = list(pool.map(compile_one, objects.items()))
    if kernels is not None:
        made += [str(kernels / f"{source.stem}.o") for pattern in _KERNELS for source in NATIVE.glob(pattern)]
    program = folder / "checks"
    _compile("g++", *flags, *made, "-o", str(program), "-fopenmp", "-pthread", "-ldl", excused=False)
    return program


def check_warnings() -> None:
    """Compile what build_checks leaves out, without generating code. A warning raises AssertionError."""
    covered = {source for pattern in _SOURCES for source in NATIVE.glob(pattern)}
    if shutil.which("g++") is None:
        raise CannotBuildError("there is no g++")

    def compile_one(source: Path) -> None:
        _compile(
            "g++", "-fsyntax-only", "-fopenmp", *_WARNINGS, "-Wpedantic", f"-I{NATIVE}", str(source), excused=False
        )

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(compile_one, sorted(set(NATIVE.rglob("*.cpp")) - covered)))


def _compile(compiler: str, *arguments: str, excused: bool = True) -> None:
    if shutil.which(compiler) is None:
        raise CannotBuildError(f"there is no {compiler}")
    _run(compiler, *arguments, excused=excused)


def _run(*command: str, excused: bool = True) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        words = f"{Path(command[0]).name} ended with {done.returncode}: {done.stderr.strip()[-1500:]}"
        raise CannotBuildError(words) if excused else AssertionError(words)
