"""docs/files.md: every command on the page, typed into a shell, beside files of the names that it mentions."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from edgemed.convert import convert
from edgemed.quant.imatrix import write_imatrix
from edgemed.quant.plan import Plan
from edgemed.quant.statistics import Statistics
from edgemed.quant.types import Type
from testing.split_gguf import write_parts

pytestmark = pytest.mark.slow

PAGE = Path(__file__).parents[2] / "docs" / "files.md"
CASES = re.findall(r"^## ([^\n]+)\n(.*?)(?=^## |\Z)", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def folder(checkpoint: Path, statistics: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The reader's folder and home."""
    folder = tmp_path_factory.mktemp("files")
    blob = folder / ".ollama" / "models" / "blobs" / "sha256-0123abcd"
    blob.parent.mkdir(parents=True)
    (folder / "AntAngelMed").symlink_to(checkpoint)
    for path, kind in {
        folder / "AntAngelMed-Q4_K_M.gguf": Type.Q4_K,
        folder / "whole.gguf": Type.Q6_K,
        folder / "AntAngelMed-Q8_0.gguf": Type.Q8_0,
        blob: Type.Q5_K,
    }.items():
        convert(str(checkpoint), path, Plan.uniform(kind), layout="llama.cpp")
    write_parts(folder / "whole.gguf", folder, "AntAngelMed-Q6_K")
    content = blob.read_bytes()
    for number, piece in enumerate((content[:70000], content[70000:]), 1):
        (folder / f"AntAngelMed-Q5_K.gguf.part{number}of2").write_bytes(piece)
    write_imatrix(Statistics.load(statistics), folder / "imatrix.gguf")
    return folder


def test_the_page_has_six_cases() -> None:
    assert len(CASES) == 6
    assert all("```sh\n" in text for _, text in CASES)


@pytest.mark.parametrize(("title", "text"), CASES, ids=[title for title, _ in CASES])
def test_every_command_of_a_case_works(title: str, text: str, folder: Path) -> None:
    (script,) = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    tools = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "HOME": str(folder), "PATH": tools, "LC_ALL": "C.UTF-8"}
    for command in script.splitlines():
        short = command.replace("edgemed generate", "edgemed generate --max-tokens 4 --threads 1")
        done = subprocess.run(
            ["sh", "-c", short], cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{command}\n{done.stderr}"
        assert "Traceback" not in done.stderr
        assert done.stdout or command.startswith("cat")


def test_a_piece_is_refused_with_the_command_of_the_page(folder: Path) -> None:
    command = [sys.executable, "-m", "edgemed.cli", "inspect", "AntAngelMed-Q5_K.gguf.part2of2"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    wanted = "cat AntAngelMed-Q5_K.gguf.part1of2 AntAngelMed-Q5_K.gguf.part2of2 > AntAngelMed-Q5_K.gguf"
    assert wanted in PAGE.read_text("utf-8")
    assert done.stderr.rstrip().endswith(f"run: {wanted}")
