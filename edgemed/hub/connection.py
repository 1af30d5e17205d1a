"""Requests to the model hub: retried while the network fails, and every error a sentence.

huggingface_hub raises errors of its own, of its HTTP library, of its transfer library and of Python, and they change
between versions. So all are caught here, told apart by name and status, and put in words.

The hub's address, cache and login are set as huggingface_hub's documentation says (HF_ENDPOINT, HF_HOME, HF_TOKEN).
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable
from typing import TypeVar
from urllib.parse import urlsplit

from edgemed.errors import EdgemedError, HubError

T = TypeVar("T")

DEFAULT = "https://huggingface.co"
RETRY_SECONDS = (1.0, 2.0, 4.0)
_LOST = {"ReadError", "WriteError", "CloseError", "RemoteProtocolError", "TimeoutException", "ConnectionResetError"}
"""Errors of a connection that was lost on the way, by the names that they and their bases have."""
_BUSY = (408, 425, 429, 500, 502, 503, 504)
_LOG_IN = "log in with `hf auth login`, or set HF_TOKEN"


def endpoint() -> str:
    """The hub's address. Raises HubError if HF_ENDPOINT is not one: huggingface_hub fails at its import then."""
    address = os.environ.get("HF_ENDPOINT") or DEFAULT
    try:
        parts = urlsplit(address)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        valid = False
    if not valid:
        raise HubError(
            f"HF_ENDPOINT is {address!r:.80}, which is not an address such as {DEFAULT}; correct or unset it."
        )
    return address.rstrip("/")


def reach(repository: str, revision: str | None, request: Callable[[str], T]) -> T:
    """The result of request(the hub's address), which is called again, after a pause, when the connection was lost.

    Raises HubError with the reason in words.
    """
    address = endpoint()
    for pause in (*RETRY_SECONDS, None):
        try:
            return request(address)
        except EdgemedError:
            raise
        except Exception as error:
            if pause is None or not _passes(error):
                raise HubError(_reason(error, repository, revision, address)) from None
            time.sleep(pause)
    raise AssertionError


def _passes(error: BaseException) -> bool:
    """Whether the same request may succeed a moment later."""
    return bool(_names(error) & _LOST) or _status(error) in _BUSY or _is_xet(error)


def _reason(error: Exception, repository: str, revision: str | None, address: str) -> str:
    names, status = _names(error), _status(error)
    if "GatedRepoError" in names:
        return (
            f"Access to the hub's repository {repository} must be asked for: open {address}/{repository}, accept its "
            f"terms, then {_LOG_IN}."
        )
    if "RevisionNotFoundError" in names:
        return f"The hub's repository {repository} has no revision {revision}; choose a branch, tag or commit of it."
    if "DisabledRepoError" in names:
        return f"The hub has disabled the repository {repository}; choose another source."
    if status == 401:
        return (
            f"The hub shows no repository {repository} without a login: it is private, or the name is wrong; check the "
            f"name, and {_LOG_IN}."
        )
    if status == 403:
        return f"The hub refuses access to {repository} with this login; ask its owner for access, or {_LOG_IN}."
    if "RepositoryNotFoundError" in names:
        return f"There is no repository {repository} on the hub; check the name."
    if status in _BUSY:
        return f"The hub is too busy to send {repository} (status {status}); wait a while, then {_AGAIN}."
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"The disk is full while {repository} is downloaded; free some space or set HF_HOME, then {_AGAIN}."
    words = next((line.strip() for line in str(_first(error)).splitlines() if line.strip()), "") or type(error).__name__
    advice = "set HF_HUB_DISABLE_XET=1" if _is_xet(error) else "check the network, the proxy and HF_ENDPOINT"
    return f"Downloading {repository} from the hub failed ({words.rstrip('.'):.160}); {advice}, then {_AGAIN}."


_AGAIN = "give the same command again to go on"


def _first(error: BaseException) -> BaseException:
    """The cause that says most: huggingface_hub hides why it is offline behind advice about its cache."""
    if "LocalEntryNotFoundError" in _names(error) and error.__cause__ is not None:
        return error.__cause__
    return error


def _names(error: BaseException) -> set[str]:
    return {kind.__name__ for kind in type(error).__mro__}


def _status(error: BaseException) -> int | None:
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status is None and error.__cause__ is not None:
        return _status(error.__cause__)
    return status if isinstance(status, int) else None


def _is_xet(error: BaseException) -> bool:
    """Whether the hub's transfer library failed. It is written in Rust and raises plain RuntimeErrors."""
    return "XetDownloadError" in _names(error) or type(error) is RuntimeError
