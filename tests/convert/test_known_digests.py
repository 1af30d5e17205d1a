"""Files that a download left are compared with the digests that it noted."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from edgemed.convert.known_digests import check_downloads, known_digest
from edgemed.errors import CheckpointError

CONTENT = bytes(range(256)) * 300


def git_digest(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def cached(folder: Path, digest: str, content: bytes) -> Path:
    """A file in a cache like the hub's: a link in a snapshot to a blob."""
    (folder / "blobs").mkdir()
    (folder / "snapshots/1f").mkdir(parents=True)
    (folder / "blobs" / digest).write_bytes(content)
    link = folder / "snapshots/1f/model.safetensors"
    link.symlink_to(f"../../blobs/{digest}")
    return link


def in_folder(folder: Path, digest: str, content: bytes, *, age: float) -> Path:
    """A file downloaded to a folder, which was written `age` seconds before the download noted its digest."""
    file, notes = folder / "model.safetensors", folder / ".cache/huggingface/download"
    file.write_bytes(content)
    notes.mkdir(parents=True)
    (notes / f"{file.name}.metadata").write_text(f"{'1f' * 20}\n{digest}\n{file.stat().st_mtime + age}\n")
    return file


@pytest.mark.parametrize("digest", [hashlib.sha256(CONTENT).hexdigest(), git_digest(CONTENT)])
@pytest.mark.parametrize("place", ["cache", "folder"])
def test_right_and_wrong_bytes(tmp_path: Path, digest: str, place: str) -> None:
    file = cached(tmp_path, digest, CONTENT) if place == "cache" else in_folder(tmp_path, digest, CONTENT, age=0.1)
    seen: list[tuple[int, int]] = []
    check_downloads([file], lambda done, total: seen.append((done, total)))
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    before = file.stat()
    file.write_bytes(CONTENT[:-1] + b"\0")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(CheckpointError, match=r"model.safetensors is damaged on this disk.*delete .*download it again"):
        check_downloads([file], lambda done, total: None)


def test_what_nobody_vouches_for_is_not_read(tmp_path: Path) -> None:
    changed = in_folder(tmp_path, "0" * 64, CONTENT, age=-60.0)  # changed by its owner after the download
    plain = tmp_path / "config.json"
    plain.write_text("{}")
    (tmp_path / "linked").symlink_to(plain)
    files = [changed, plain, tmp_path / "linked", tmp_path / "missing"]
    assert [known_digest(file) for file in files] == [None] * 4
    check_downloads(files, lambda done, total: pytest.fail("read"))


@pytest.mark.parametrize("note", ["", "one line", "a\nb\nc\n", f"x\n{'0' * 63}\n9e12\n"])
def test_notes_that_mean_nothing(tmp_path: Path, note: str) -> None:
    file = in_folder(tmp_path, "0" * 64, CONTENT, age=1.0)
    (tmp_path / ".cache/huggingface/download/model.safetensors.metadata").write_text(note)
    assert known_digest(file) is None
