"""The mean square of the residual stream after the last layer, per token: what the final norm divides by.

It cannot be recovered from the logits, and our device does not compute it. libllama's evaluation callback is therefore
asked for this one tensor, which splits the graph once.
"""

from __future__ import annotations

import ctypes

import numpy as np
from llama_cpp import llama_cpp
from numpy.typing import NDArray

from edgemed.ggml import ggml


class ResidualSize:
    """Collects the mean squares. Pass `callback` to the context; the tensor may be on the host or a device."""

    def __init__(self, n_layer: int, n_embd: int) -> None:
        self._name = f"l_out-{n_layer - 1}".encode()
        self._n_embd = n_embd
        self._parts: list[NDArray[np.float32]] = []
        library = ggml().library
        self._name_of, self._read = library.ggml_get_name, library.ggml_backend_tensor_get
        self._bytes_of = library.ggml_nbytes
        self._name_of.restype, self._name_of.argtypes = ctypes.c_char_p, (ctypes.c_void_p,)
        self._bytes_of.restype, self._bytes_of.argtypes = ctypes.c_size_t, (ctypes.c_void_p,)
        self._read.restype = None
        self._read.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t)
        self.callback = llama_cpp.ggml_backend_sched_eval_callback(self._see)

    def take(self) -> NDArray[np.float32]:
        """The mean squares of the tokens whose logits were requested since the last call."""
        found = np.concatenate([np.zeros(0, np.float32), *self._parts])
        self._parts.clear()
        return found

    def _see(self, tensor: int, ask: bool, _: object) -> bool:
        if self._name_of(tensor) != self._name:
            return not ask
        if not ask:
            values = np.empty((self._bytes_of(tensor) // 4 // self._n_embd, self._n_embd), np.float32)
            self._read(tensor, values.ctypes.data, 0, values.nbytes)
            self._parts.append(np.square(values).mean(axis=1))
        return True  # go on computing
