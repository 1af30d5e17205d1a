"""Is there a GPU that the installed llama.cpp was built for? Some tests run only then."""

from typing import Any

from edgemed.engine.process.job import Report, run_job
from edgemed.ggml import library_folder

_BUILT_FOR = ("cuda", "hip", "vulkan", "sycl")


def gpu_is_here() -> bool:
    """Look in a child process, because a GPU driver takes memory and starts threads."""
    if not any((library_folder() / f"libggml-{kind}.so.0").exists() for kind in _BUILT_FOR):
        return False
    return bool(run_job(f"{__name__}:find_gpu", {}, lambda *_: None)["found"])


def find_gpu(request: dict[str, Any], report: Report) -> dict[str, bool]:
    """The job that looks for a GPU."""
    from edgemed.engine.devices import own_device

    return {"found": own_device() is not None}
