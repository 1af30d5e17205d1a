"""The lock files match pyproject.toml, and the lint refuses whatever would install something else."""

from __future__ import annotations

import importlib.util
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def lock() -> ModuleType:
    spec = importlib.util.spec_from_file_location("lock", ROOT / "tools/lock.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
MAIN, BUILD = ((ROOT / name).read_text() for name in ("requirements.lock", "requirements-build.lock"))


def test_the_lock_files_match(lock: ModuleType) -> None:
    assert lock.faults(PROJECT, MAIN, BUILD) == []


@pytest.mark.parametrize("name", ["llama-cpp-python", "cryptography", "jeepney", "mnemonic", "sqlcipher3", "numpy"])
def test_what_edgemed_needs_is_locked(name: str) -> None:
    assert f"\n{name}==" in MAIN
    assert "pip==" in BUILD


ADDED = "\naaa==1.0 \\\n    --hash=sha256:" + "0" * 64 + "\n"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda text: "--index-url https://mirror.example/simple\n" + text, "is not `name==version` with hashes"),
        (lambda text: text + "-f https://files.example\n", "is not `name==version` with hashes"),
        (lambda text: text + "zzz @ https://files.example/zzz.whl\n", "is not `name==version` with hashes"),
        (lambda text: text + "zzz==1.0 # via mirror.example\n", "is not `name==version` with hashes"),
        (lambda text: text + "zzz==1.0\n", "is not `name==version` with hashes"),
        (lambda text: text + "zzz>=1.0 \\\n    --hash=sha256:" + "0" * 64 + "\n", "is not `name==version`"),
        (lambda text: text + "zzz==1.0 \\\n    --hash=md5:" + "0" * 32 + "\n", "is not `name==version`"),
        (lambda text: text + ADDED[1:], "are not in order"),
        (lambda text: text.replace("\nnumpy==2", "\nnumpy==1"), "but numpy<3,>=2.0 is needed"),
        (lambda text: text.replace("\nnumpy==", "\nnumpyy=="), "has numpy None, but"),
        (lambda text: text.replace("\npytest==", "\npytesu=="), "has pytest None, but"),
        (lambda text: text.replace("\npackaging==2", "\npackaging==9"), "packaging has two versions"),
    ],
)
def test_other_lines_are_refused(lock: ModuleType, change: object, words: str) -> None:
    changed = change(MAIN)  # type: ignore[operator]
    assert changed != MAIN
    assert any(words in fault for fault in lock.faults(PROJECT, changed, BUILD))


def test_every_package_is_needed_by_another(lock: ModuleType) -> None:
    """Of those that are installed here, as `make setup` installs them."""
    assert lock.needless(PROJECT, MAIN) == []
    added = MAIN + "zipp==3.23.0 \\\n    --hash=sha256:" + "0" * 64 + "\n"
    assert lock.needless(PROJECT, added) == ["requirements.lock: nothing needs zipp."]
    without = MAIN.replace("\nhttpx2==", "\nhttpx3==")
    assert "requirements.lock lacks httpx2, which huggingface-hub needs." in lock.needless(PROJECT, without)


def test_another_pip_is_refused(lock: ModuleType) -> None:
    changed = BUILD.replace("\npip==26.3", "\npip==26.2")
    assert any("pip==26.3 is needed" in fault for fault in lock.faults(PROJECT, MAIN, changed))


@pytest.mark.parametrize(
    ("wheel", "may"),
    [
        ("a-1-py3-none-any.whl", True),
        ("a-1-py2.py3-none-any.whl", True),
        ("a-1-cp311-cp311-manylinux_2_28_x86_64.whl", True),
        ("a-1-cp313-cp313-manylinux2014_x86_64.manylinux_2_17_x86_64.whl", True),
        ("a-1-cp39-abi3-musllinux_1_2_x86_64.whl", True),
        ("a-1-py3-none-manylinux_2_17_x86_64.whl", True),
        ("a-1-cp310-cp310-manylinux_2_28_x86_64.whl", False),
        ("a-1-cp314-cp314t-manylinux_2_28_x86_64.whl", False),
        ("a-1-pp311-pypy311_pp73-manylinux_2_28_x86_64.whl", False),
        ("a-1-cp312-cp312-manylinux_2_28_aarch64.whl", False),
        ("a-1-cp312-cp312-macosx_11_0_x86_64.whl", False),
        ("a-1-cp312-cp312-win_amd64.whl", False),
    ],
)
def test_which_files_may_be_installed(lock: ModuleType, wheel: str, may: bool) -> None:
    assert lock._may_install(wheel) == may
