"""Is there a GPU here that the installed llama.cpp was built for? Only then do some tests run."""

from typing import Any

from edgemed.engine.process.job import Report, run_job
from edgemed.ggml import library_folder

_BUILT_FOR = ("cuda", "hip", "vulkan", "sycl")


def gpu_is_here() -> bool:
    """Asked in a process of its own: a driver, once awake, takes memory and threads."""
    if not any((library_folder() / f"libggml-{kind}.so.0").exists() for kind in _BUILT_FOR):
        return False
    return bool(run_job(f"{__name__}:look", {}, lambda *_: None)["found"])


def look(request: dict[str, Any], report: Report) -> dict[str, bool]:
    """A job."""
    from edgemed.engine.devices import own_device

    return {"found": own_device() is not None}
