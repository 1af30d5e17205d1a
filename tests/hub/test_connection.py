"""Every way in which a hub can fail is a sentence, and a lost connection is opened again."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest

from edgemed.errors import HubError
from edgemed.hub import connection
from edgemed.hub.connection import endpoint, reach
from edgemed.hub.snapshot import snapshot
from testing.hub import REPOSITORY, Hub, serve

LARGE = "model.safetensors"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    from huggingface_hub import constants

    folder = tmp_path / "published"
    folder.mkdir()
    (folder / LARGE).write_bytes(bytes(range(256)) * 1000)
    (folder / "config.json").write_text("{}")
    with serve(folder) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.address)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", True)
        monkeypatch.setattr(connection, "RETRY_SECONDS", (0.0, 0.0, 0.0))
        yield server


def refusal(revision: str | None = None) -> str:
    with pytest.raises(HubError) as caught:
        snapshot(REPOSITORY, revision, ["*"])
    return str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("status", "code", "words"),
    [
        (403, "GatedRepo", f"/{REPOSITORY}, accept its terms, then log in with `hf auth login`, or set HF_TOKEN."),
        (401, "GatedRepo", f"/{REPOSITORY}, accept its terms, then log in with `hf auth login`, or set HF_TOKEN."),
        (401, "RepoNotFound", "it is private, or the name is wrong; check the name, and log in with"),
        (401, "", "it is private, or the name is wrong; check the name, and log in with"),
        (403, "", "refuses access to them/tiny with this login"),
        (404, "RepoNotFound", "There is no repository them/tiny on the hub"),
        (404, "RevisionNotFound", "has no revision v9"),
        (503, "", "too busy to send them/tiny (status 503)"),
        (418, "", "failed ("),
    ],
)
def test_refusals_say_what_to_do(hub: Hub, status: int, code: str, words: str) -> None:
    hub.refuse = status, code
    assert words in refusal("v9")


@pytest.mark.slow
@pytest.mark.parametrize("ending", ["hang up", "reset"])
def test_a_lost_connection_is_opened_again(hub: Hub, ending: Literal["hang up", "reset"]) -> None:
    hub.ending = ending
    hub.cut[LARGE] = [100_000]
    assert (snapshot(REPOSITORY, None, ["*"]) / LARGE).read_bytes() == (hub.folder / LARGE).read_bytes()
    assert hub.served.count(LARGE) == 2
    assert hub.served.count("config.json") == 1


@pytest.mark.slow
def test_a_download_that_ended_is_gone_on_with(hub: Hub) -> None:
    hub.ending = "reset"
    hub.cut[LARGE] = [100_000] * 4
    assert refusal().endswith("then give the same command again to go on.")
    snapshot(REPOSITORY, None, ["*"])
    assert hub.served.count("config.json") == 1


def test_a_hub_that_is_not_there_is_not_asked_again(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(connection, "RETRY_SECONDS", (1e6,))
    said = refusal()
    assert "Connection refused" in said
    assert "check the network, the proxy and HF_ENDPOINT" in said


@pytest.mark.parametrize(
    "address", ["localhost", "http://[bad", "ftp://hub.example", "http://", "http://hub.example:port", "hub\x1b[31m"]
)
def test_an_endpoint_that_is_no_address_is_named(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv("HF_ENDPOINT", address)
    with pytest.raises(HubError, match="HF_ENDPOINT is ") as caught:
        endpoint()
    assert str(caught.value).isprintable()


class BusyError(Exception):
    """Any library's error with a response."""

    class response:  # noqa: N801
        status_code = 429


class XetDownloadError(Exception):
    pass


@pytest.mark.parametrize(
    ("error", "times", "words"),
    [
        (RuntimeError("CAS service error: reset"), 4, "set HF_HUB_DISABLE_XET=1"),
        (XetDownloadError("no shard"), 4, "set HF_HUB_DISABLE_XET=1"),
        (BusyError(), 4, "(status 429)"),
        (ConnectionResetError(104, "Connection reset by peer"), 4, "Connection reset by peer"),
        (OSError(errno.ENOSPC, "No space left on device"), 1, "The disk is full while them/tiny is downloaded"),
        (ImportError("Using SOCKS proxy, but the 'socksio' package is not installed."), 1, "the 'socksio' package"),
        (AssertionError(), 1, "failed (AssertionError)"),
        (ValueError("\n\n  first\nsecond"), 1, "failed (first)"),
    ],
)
def test_errors_of_any_library(monkeypatch: pytest.MonkeyPatch, error: Exception, times: int, words: str) -> None:
    monkeypatch.setattr(connection, "RETRY_SECONDS", (0.0, 0.0, 0.0))
    monkeypatch.delenv("HF_ENDPOINT", raising=False)
    asked = []

    def request(address: str) -> Any:
        asked.append(address)
        raise error

    with pytest.raises(HubError) as caught:
        reach(REPOSITORY, None, request)
    assert words in str(caught.value)
    assert asked == ["https://huggingface.co"] * times


def test_an_interrupt_is_not_an_error_of_the_hub() -> None:
    def request(address: str) -> Any:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        reach(REPOSITORY, None, request)
