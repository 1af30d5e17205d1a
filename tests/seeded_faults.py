"""Twelve one-line faults, and a program that counts how many of them `make test-fast` finds.

    python -m tests.seeded_faults             every fault, in one temporary copy of the tree
    python -m tests.seeded_faults router ...  these faults only

Each fault is one plausible mistake in one line: a wrong comparison, a dropped term, a missing condition. At least ten
of the twelve must be found. tests/test_seeded_faults.py checks that the lines are still there.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
import venv
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
LIBRARY = "edgemed/native/libedgemed.so"
NEEDED = 10


@dataclass(frozen=True, slots=True)
class Fault:
    """`line`, which occurs once in `file`, becomes `faulty`; then the product `breaks` something."""

    name: str
    file: str
    line: str
    faulty: str
    breaks: str

    @property
    def is_native(self) -> bool:
        return self.file.startswith("edgemed/native/")


FAULTS = (
    Fault(
        "kernel",
        "edgemed/native/matmul/gemv_pipelined.inc",
        "        return {{_mm256_sub_epi16(of[0], less), _mm256_sub_epi16(of[1], less)}};",
        "        return {{_mm256_sub_epi16(of[0], less), of[1]}};",
        "the single-token matmul uses wrong scales for the second half of each Q3_K block",
    ),
    Fault(
        "eviction",
        "edgemed/native/store/eviction.cpp",
        "    if (scan_layer_ < 0) return entry.score;",
        "    if (scan_layer_ < 0) return -entry.score;",
        "the cache evicts the experts that are used most",
    ),
    Fault(
        "router",
        "edgemed/architectures/router.py",
        "        best = np.sort(scores.reshape(tokens, self.n_group, -1), axis=2)[:, :, -2:].sum(axis=2)",
        "        best = np.sort(scores.reshape(tokens, self.n_group, -1), axis=2)[:, :, -1:].sum(axis=2)",
        "groups of experts are ranked by their best score alone",
    ),
    Fault(
        "allocation",
        "quant/allocation.py",
        "    order = order[used[order] <= room]",
        "    order = order[used[order] < room]",
        "an allocation that would fill the budget exactly is not found",
    ),
    Fault(
        "codec",
        "quant/codecs.py",
        "        return without_offset(f16_at(blocks, 0) * (2 * nibbles.astype(np.float32) + 1))",
        "        return without_offset(f16_at(blocks, 0) * (2 * nibbles.astype(np.float32)))",
        "error compensation chooses the codes of IQ3_S under wrong scales",
    ),
    Fault(
        "checksum",
        "edgemed/model_file/header.py",
        "    for part in (view[:value_at], bytes(8), view[value_at + 8 :]):",
        "    for part in (view[:value_at], bytes(8), view[value_at + 16 :]):",
        "damage to eight bytes of the header goes unnoticed",
    ),
    Fault(
        "safetensors",
        "convert/safetensors.py",
        "    if data_start + offsets[1] > size:",
        "    if offsets[1] > size:",
        "a checkpoint that was cut short is converted",
    ),
    Fault(
        "tokenizer",
        "convert/tokenizer.py",
        '        control = entry.get("special") or (token.startswith("<|") and token.endswith("|>"))',
        '        control = entry.get("special") and (token.startswith("<|") and token.endswith("|>"))',
        "special tokens that lack the usual brackets are treated as text",
    ),
    Fault(
        "prefix",
        "edgemed/engine/session.py",
        "            return index",
        "            return index + 1",
        "a prompt reuses the cached key and value of a different token",
    ),
    Fault(
        "sampling",
        "edgemed/engine/sampling.py",
        "            scores[seen] = np.where(values > 0, values / penalty, values * penalty)",
        "            scores[seen] = np.where(values > 0, values / penalty, values)",
        "tokens with negative logits escape the repetition penalty",
    ),
    Fault(
        "seccomp",
        "edgemed/privacy/process.py",
        "            refused=(*seccomp.IO_URING, seccomp.PIDFD_GETFD), local_only=(seccomp.SOCKET, seccomp.SOCKETPAIR)",
        "            refused=seccomp.IO_URING, local_only=(seccomp.SOCKET, seccomp.SOCKETPAIR)",
        "a locked process can duplicate another process's network socket",
    ),
    Fault(
        "copy",
        "edgemed/clinical/wording.py",
        "    below = [_CUT_OFF[language]] if incomplete else []",
        "    below = [_CUT_OFF[language]] if not incomplete else []",
        "an answer that was cut off is copied without its warning",
    ),
)


def main(names: list[str]) -> int:
    """Try the named faults, or all; return 0 if enough of them are found."""
    chosen = [fault for fault in FAULTS if not names or fault.name in names]
    if not chosen:
        print(f"No fault has that name; the names are {', '.join(fault.name for fault in FAULTS)}.", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="edgemed-faults-") as folder:
        tree = Path(folder) / "tree"
        python = copy_tree(tree)
        if reason := fast_tests(tree, python):
            print(f"The fast tests fail without a fault: {reason}", file=sys.stderr)
            return 2
        if any(fault.is_native for fault in chosen):
            build(tree)
        found = sum(try_fault(tree, python, fault) for fault in chosen)
    missed = len(chosen) - found
    print(f"{found} of {len(chosen)} found")
    return int(missed > len(FAULTS) - NEEDED)


def try_fault(tree: Path, python: Path, fault: Fault) -> bool:
    """Whether the fast tests fail with this fault. Prints the result; leaves the tree as it was."""
    source, library = tree / fault.file, tree / LIBRARY
    text, built = source.read_text("utf-8"), library.read_bytes()
    assert text.count(fault.line + "\n") == 1, f"{fault.file} has changed: {fault.line}"
    source.write_text(text.replace(fault.line + "\n", fault.faulty + "\n"), "utf-8")
    if fault.is_native:
        build(tree)
    started = time.monotonic()
    reason = fast_tests(tree, python)
    source.write_text(text, "utf-8")
    library.write_bytes(built)
    result = f"found       {reason}" if reason else "NOT FOUND"
    print(f"{fault.name:<12} {time.monotonic() - started:4.0f} s  {result}", flush=True)
    return bool(reason)


def copy_tree(tree: Path) -> Path:
    """Copy this checkout with its native library; return a Python that imports edgemed from the copy.

    The installed edgemed is found by an import hook in site-packages. A .pth file that names the folder of the other
    packages as a plain path does not run the hooks there.
    """
    ignored = shutil.ignore_patterns(".git", ".venv", "build", "dist", "__pycache__", ".hypothesis", ".*_cache")
    shutil.copytree(ROOT, tree, symlinks=True, ignore=ignored)
    venv.create(tree / ".venv", symlinks=True)
    (packages,) = (tree / ".venv" / "lib").glob("python*/site-packages")
    paths = [str(tree), *(path for path in sys.path if Path(path).name == "site-packages")]
    (packages / "copy.pth").write_text("\n".join(paths) + "\n", "utf-8")
    return tree / ".venv" / "bin" / "python"


def build(tree: Path) -> None:
    """Build the native library of the copy; what has not changed is not compiled again."""
    folder = tree / "build" / "faults"
    if not folder.exists():
        options = ["-DSKBUILD_STATE=editable", "-DCMAKE_BUILD_TYPE=Release"]
        run(tree, "cmake", "-S", str(tree), "-B", str(folder), *options)
    run(tree, "cmake", "--build", str(folder), "--parallel", str(os.cpu_count()))


def fast_tests(tree: Path, python: Path) -> str:
    """The first failure of the fast tests in this tree, or nothing."""
    command = [python, "-m", "pytest", "-q", "-x", "-n", "2", "--dist", "loadfile", "-m", "not slow"]
    command += ["--ignore", "tests/test_seeded_faults.py"]  # it looks for the line that the fault has changed
    done = subprocess.run(command, cwd=tree, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return ""
    named = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    return named[0].split(" - ")[0] if named else done.stdout.strip()[-300:] + done.stderr.strip()[-300:]


def run(folder: Path, *command: str) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{command[0]} failed: {(done.stdout + done.stderr)[-1500:]}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
