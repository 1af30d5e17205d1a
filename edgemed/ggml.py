"""ggml in this process, bound with ctypes: sizes of types, quantising and dequantising rows.

The llama-cpp-python package ships every library three times (`libggml-base.so`, `.so.0`, `.so.0.25.3`). libllama is
linked against `.so.0`. Another copy would have a second registry and second tables, so the same file is opened here.
ctypes releases the GIL during every call.
"""

from __future__ import annotations

import ctypes
import functools
import importlib
import importlib.util
from pathlib import Path

import numpy as np
from gguf import GGMLQuantizationType
from numpy.typing import NDArray

from edgemed.errors import SetupError

KNOWN_VERSIONS = ("0.25.3",)
PACKAGE = "llama_cpp"
LIBRARY = "libggml-base.so.0"

_ToFloat = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)


class _TypeTraits(ctypes.Structure):
    """`struct ggml_type_traits` of ggml.h, with the layout of KNOWN_VERSIONS."""

    _fields_ = (
        ("type_name", ctypes.c_char_p),
        ("block_size", ctypes.c_int64),
        ("block_size_interleave", ctypes.c_int64),
        ("type_size", ctypes.c_size_t),
        ("is_quantized", ctypes.c_bool),
        ("to_float", _ToFloat),
        ("from_float_ref", ctypes.c_void_p),
    )


class Ggml:
    """ggml's functions with Python types. Use the one instance that `ggml()` returns."""

    def __init__(self, path: Path) -> None:
        """Open the library at `path`. Raises SetupError if it is missing, unreadable or of an unknown version."""
        try:
            self.library = ctypes.CDLL(str(path))
        except OSError as error:
            raise SetupError(
                f"The ggml library {path.name} cannot be loaded ({error}); reinstall llama-cpp-python."
            ) from error
        self.library.ggml_version.restype = ctypes.c_char_p
        self.version = self.library.ggml_version().decode()
        if self.version not in KNOWN_VERSIONS:
            raise SetupError(
                f"The installed llama-cpp-python contains ggml {self.version}, but edgemed was tested only with "
                f"{', '.join(KNOWN_VERSIONS)}; install the version that pyproject.toml names."
            )
        self._traits = self.library.ggml_get_type_traits
        self._traits.argtypes = (ctypes.c_int,)
        self._traits.restype = ctypes.POINTER(_TypeTraits)
        self._requires_importance = self.library.ggml_quantize_requires_imatrix
        self._requires_importance.argtypes = (ctypes.c_int,)
        self._requires_importance.restype = ctypes.c_bool
        self._quantize_chunk = self.library.ggml_quantize_chunk
        self._quantize_chunk.argtypes = (ctypes.c_int, *(ctypes.c_void_p,) * 2, *(ctypes.c_int64,) * 3, ctypes.c_void_p)
        self._quantize_chunk.restype = ctypes.c_size_t

    def type_name(self, type_: GGMLQuantizationType) -> str:
        """ggml's name of a type, for example `q4_K`."""
        return str(self._traits(type_).contents.type_name.decode())

    def block_size(self, type_: GGMLQuantizationType) -> int:
        """Weights in one block of this type."""
        return int(self._traits(type_).contents.block_size)

    def type_size(self, type_: GGMLQuantizationType) -> int:
        """Bytes of one block of this type."""
        return int(self._traits(type_).contents.type_size)

    def row_size(self, type_: GGMLQuantizationType, columns: int) -> int:
        """Bytes of a row of `columns` weights. Raises ValueError if the row is not a whole number of blocks."""
        block = self.block_size(type_)
        if columns % block:
            raise ValueError(f"{columns} columns are not a multiple of the block size {block} of {type_.name}.")
        return columns // block * self.type_size(type_)

    def requires_importance(self, type_: GGMLQuantizationType) -> bool:
        """True if ggml refuses to quantise to this type without an importance vector."""
        return bool(self._requires_importance(type_))

    def quantize_chunk(
        self,
        type_: GGMLQuantizationType,
        source: NDArray[np.float32],
        target: NDArray[np.uint8],
        first_row: int,
        rows: int,
        importance: NDArray[np.float32] | None,
    ) -> None:
        """Quantise `rows` rows from `first_row` of source [rows, columns] into target [rows, row_size(type, columns)].

        `importance` [columns] weights the squared error of each column. The arrays must be C-contiguous, and the
        weights finite: ggml aborts the process on some invalid input, so callers check first.
        """
        columns = source.shape[1]
        written = self._quantize_chunk(
            type_,
            source.ctypes.data,
            target.ctypes.data,
            first_row * columns,
            rows,
            columns,
            None if importance is None else importance.ctypes.data,
        )
        assert written == rows * target.shape[1]

    def dequantise(self, type_: GGMLQuantizationType, data: NDArray[np.uint8], columns: int) -> NDArray[np.float32]:
        """The weights [rows, columns] that ggml reads from data [rows, row_size(type, columns)]."""
        rows = data.reshape(-1, self.row_size(type_, columns))
        rows = np.ascontiguousarray(rows)
        if type_ == GGMLQuantizationType.F32:  # ggml has no conversion from a type to itself
            return rows.view(np.float32).copy()
        out = np.empty((rows.shape[0], columns), np.float32)
        self._traits(type_).contents.to_float(rows.ctypes.data, out.ctypes.data, out.size)
        return out


def library_folder() -> Path:
    """The folder of libllama and its ggml. Raises SetupError if llama-cpp-python is not installed."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise SetupError("The package llama-cpp-python is not installed; install edgemed with its dependencies.")
    return Path(spec.origin).parent / "lib"


def require_llama() -> None:
    """Load libllama and the libraries that it is linked against.

    Raises SetupError if that fails. A build for CUDA, for example, needs CUDA's runtime and driver.
    """
    library_folder()  # raises SetupError if it is not installed
    try:
        importlib.import_module(f"{PACKAGE}.{PACKAGE}")
    except (ImportError, RuntimeError, OSError) as error:
        reason = str(error).rpartition("': ")[2]
        raise SetupError(
            f"llama-cpp-python cannot be loaded ({reason}). If it was built for a GPU, install that GPU's driver and "
            "runtime library; pip install --force-reinstall --no-deps --no-cache-dir llama-cpp-python==0.3.36 builds "
            "it for the processor again."
        ) from None


@functools.cache
def ggml() -> Ggml:
    """The ggml of this process, opened at the first call. Raises SetupError."""
    return Ggml(library_folder() / LIBRARY)
