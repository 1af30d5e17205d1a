"""Memory limits are enforced and reported with both versions of control groups."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from testing import cgroup
from testing.cgroup import MemoryGroup, Usage, how

GREEDY = "import sys; b = bytearray(int(sys.argv[1])); b[::4096] = b'x' * len(b[::4096]); print('alive')"


@pytest.mark.skipif(how() is None, reason="no memory control group can be made here")
def test_limit_is_enforced_and_reported() -> None:
    with MemoryGroup(64 << 20) as group:
        process = group.popen([sys.executable, "-c", GREEDY, str(16 << 20)], stdout=subprocess.PIPE)
        assert process.communicate()[0] == "alive\n"
        usage = group.usage()
        assert 16 << 20 < usage.peak_bytes <= 64 << 20
        assert usage.kills == 0
    with MemoryGroup(64 << 20) as group:
        process = group.popen([sys.executable, "-c", GREEDY, str(256 << 20)], stdout=subprocess.PIPE)
        assert process.communicate()[0] == ""
        assert process.returncode != 0
        assert group.usage().kills == 1
        assert group.usage().peak_bytes == 64 << 20


@pytest.mark.skipif(how() not in ("v1", "v2"), reason="no controller is writable here")
def test_group_is_removed() -> None:
    root = cgroup.V1 if how() == "v1" else cgroup.V2
    before = set(root.iterdir())
    with MemoryGroup(64 << 20) as group:
        group.popen(["true"]).wait()
        assert set(root.iterdir()) != before
    assert set(root.iterdir()) == before


def test_read_only_version_2_uses_systemd_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = tmp_path / "systemd-run"
    fake.write_text('#!/bin/sh\necho "$@" > "$0.asked"\nwhile [ "$1" != sh ]; do shift; done\nexec "$@"\n')
    fake.chmod(0o755)
    (tmp_path / "v2").mkdir()
    (tmp_path / "v2/cgroup.controllers").write_text("cpu memory\n")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setattr(cgroup, "V1", tmp_path / "none")
    monkeypatch.setattr(cgroup, "V2", tmp_path / "v2")
    assert how() == "systemd"
    with MemoryGroup(64 << 20) as group:
        process = group.popen(["sh", "-c", "exit 3"])
        assert process.wait() == 3
        report = next(word for word in group.command([]) if "edgemed-cgroup-" in word)
        Path(report).write_text("123456\nlow 0\nmax 7\noom 1\noom_kill 1\n")
        assert group.usage() == Usage(123456, 7, 1)
    assert f"MemoryMax={64 << 20}" in (tmp_path / "systemd-run.asked").read_text()


def test_missing_memory_controller_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cgroup, "V1", tmp_path)
    monkeypatch.setattr(cgroup, "V2", tmp_path)
    assert how() is None
    with pytest.raises(RuntimeError, match="control group"):
        MemoryGroup(1)
