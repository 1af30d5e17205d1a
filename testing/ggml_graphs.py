"""ggml's functions that build and compute a graph, for tests that need one without a model."""

import ctypes
from functools import cache
from typing import Any

from edgemed.engine.llama import start_llama
from edgemed.ggml import LIBRARY, library_folder
from edgemed.native import declare


class InitParams(ctypes.Structure):
    _fields_ = (("mem_size", ctypes.c_size_t), ("mem_buffer", ctypes.c_void_p), ("no_alloc", ctypes.c_bool))


@cache
def ggml_libraries() -> tuple[ctypes.CDLL, ctypes.CDLL, ctypes.CDLL]:
    """ggml's base, CPU and registry libraries, the functions that are used here declared."""
    start_llama()
    names = (LIBRARY, "libggml-cpu.so.0", "libggml.so.0")
    base, cpu, registry = (ctypes.CDLL(str(library_folder() / name)) for name in names)
    pointer, size, number = ctypes.c_void_p, ctypes.c_int64, ctypes.c_int
    two, three = (pointer,) * 2, (pointer,) * 3
    declared: dict[str, tuple[Any, tuple[Any, ...]]] = {
        "ggml_init": (pointer, (InitParams,)),
        "ggml_free": (None, (pointer,)),
        "ggml_new_tensor_2d": (pointer, (pointer, number, size, size)),
        "ggml_new_tensor_3d": (pointer, (pointer, number, size, size, size)),
        "ggml_set_name": (pointer, (pointer, ctypes.c_char_p)),
        "ggml_set_input": (None, (pointer,)),
        "ggml_set_output": (None, (pointer,)),
        "ggml_cont": (pointer, two),
        "ggml_get_data": (pointer, (pointer,)),
        "ggml_nbytes": (ctypes.c_size_t, (pointer,)),
        "ggml_reshape_3d": (pointer, (*two, size, size, size)),
        "ggml_view_2d": (pointer, (*two, size, size, ctypes.c_size_t, ctypes.c_size_t)),
        "ggml_mul_mat": (pointer, three),
        "ggml_mul_mat_id": (pointer, (*three, pointer)),
        "ggml_swiglu_split": (pointer, three),
        "ggml_mul": (pointer, three),
        "ggml_add": (pointer, three),
        "ggml_new_graph": (pointer, (pointer,)),
        "ggml_build_forward_expand": (None, two),
        "ggml_tensor_overhead": (ctypes.c_size_t, ()),
        "ggml_graph_overhead": (ctypes.c_size_t, ()),
        "ggml_backend_alloc_ctx_tensors_from_buft": (pointer, two),
        "ggml_backend_buffer_free": (None, (pointer,)),
        "ggml_backend_buffer_set_usage": (None, (pointer, number)),
        "ggml_backend_tensor_set": (None, (*two, ctypes.c_size_t, ctypes.c_size_t)),
        "ggml_backend_tensor_get": (None, (*two, ctypes.c_size_t, ctypes.c_size_t)),
        "ggml_backend_cpu_buffer_type": (pointer, ()),
        "ggml_backend_dev_init": (pointer, (pointer, ctypes.c_char_p)),
        "ggml_backend_free": (None, (pointer,)),
        "ggml_backend_sched_new": (pointer, (pointer, pointer, number, ctypes.c_size_t, ctypes.c_bool, ctypes.c_bool)),
        "ggml_backend_sched_free": (None, (pointer,)),
        "ggml_backend_sched_reset": (None, (pointer,)),
        "ggml_backend_sched_alloc_graph": (ctypes.c_bool, two),
        "ggml_backend_sched_graph_compute": (number, two),
        "ggml_backend_sched_get_n_splits": (number, (pointer,)),
        "ggml_backend_reg_get_proc_address": (pointer, (pointer, ctypes.c_char_p)),
        "ggml_backend_dev_backend_reg": (pointer, (pointer,)),
    }
    declare(base, declared)
    declare(cpu, {"ggml_backend_cpu_init": (pointer, ()), "ggml_backend_cpu_set_n_threads": (None, (pointer, number))})
    declare(registry, {"ggml_backend_dev_by_name": (pointer, (ctypes.c_char_p,))})
    return base, cpu, registry
