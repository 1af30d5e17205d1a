"""What a GGUF repository of the hub holds: its quantisations, each one file or the parts of one."""

from __future__ import annotations

import fnmatch
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from edgemed.errors import HubError
from edgemed.hub.connection import reach

NAME = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)
_PART = re.compile(r"(.+)-(\d{5})-of-(\d{5})")  # llama.cpp's names of parts
_NO_MODEL = ("mmproj", "imatrix")  # projectors of images, importance matrices


@dataclass(frozen=True, slots=True)
class HubFile:
    """A file of a repository: its path there, its size in bytes, and its SHA-256 in hexadecimal."""

    path: str
    size: int
    sha256: str

    @property
    def name(self) -> str:
        return PurePosixPath(self.path).name


@dataclass(frozen=True, slots=True)
class Quantisation:
    """One model: `files` are its parts in order; `count` is the number of parts that their names claim."""

    name: str
    files: tuple[HubFile, ...]
    count: int

    @property
    def size(self) -> int:
        return sum(file.size for file in self.files)

    @property
    def complete(self) -> bool:
        return len(self.files) == self.count


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository at one commit, with its quantisations from the smallest to the largest."""

    name: str
    commit: str
    quantisations: tuple[Quantisation, ...]

    def find(self, pattern: str) -> Quantisation:
        """The one quantisation that `pattern` means: its name or the end of it, a part of it, or a pattern with *.

        Raises HubError if there is none, or more than one, or if parts of it are missing.
        """
        wanted = pattern.lower()
        tests = (
            lambda one: re.search(rf"(^|[-._]){re.escape(wanted)}$", one.name.lower()),
            lambda one: wanted in one.name.lower(),
            lambda one: any(_matches(file, wanted) for file in one.files),
        )
        found = next((found for test in tests if (found := [one for one in self.quantisations if test(one)])), [])
        if len(found) != 1:
            named = ", ".join(one.name for one in found or self.quantisations)
            what = "means several quantisations" if found else "means no quantisation"
            raise HubError(f"--file {pattern:.60} {what} of {self.name}; choose one of {named:.600}.")
        if not found[0].complete:
            raise HubError(
                f"The hub's {found[0].name} has {len(found[0].files)} of {found[0].count} parts; choose another."
            )
        return found[0]


def list_repository(name: str, revision: str | None) -> Repository:
    """Ask the hub what the repository holds. Raises HubError."""

    def ask(address: str) -> tuple[str, list[HubFile]]:
        from huggingface_hub import HfApi  # slow to import

        api = HfApi(endpoint=address)
        commit = api.repo_info(name, revision=revision).sha
        listed = api.list_repo_tree(name, recursive=True, revision=commit)
        files = [(entry.path, getattr(entry, "lfs", None)) for entry in listed]
        return str(commit), [HubFile(path, lfs.size, lfs.sha256) for path, lfs in files if lfs is not None]

    commit, files = reach(name, revision, ask)
    found = _grouped([file for file in files if _is_model(file)])
    if not found:
        raise HubError(f"The hub's repository {name} has no GGUF file; `edgemed convert {name}` takes a checkpoint.")
    return Repository(name, commit, tuple(sorted(found, key=lambda one: one.size)))


def _is_model(file: HubFile) -> bool:
    name = file.name.lower()
    return name.endswith(".gguf") and file.name.isprintable() and not any(word in name for word in _NO_MODEL)


def _grouped(files: Sequence[HubFile]) -> list[Quantisation]:
    parts: defaultdict[tuple[str, str, int], list[tuple[int, HubFile]]] = defaultdict(list)
    for file in files:
        path = PurePosixPath(file.path)
        match = _PART.fullmatch(path.stem)
        name, number, count = (match[1], int(match[2]), int(match[3])) if match else (path.stem, 1, 1)
        parts[str(path.parent), name, count].append((number, file))
    return [
        Quantisation(name, tuple(file for _, file in sorted(numbered, key=lambda part: part[0])), count)
        for (_, name, count), numbered in parts.items()
    ]


def _matches(file: HubFile, pattern: str) -> bool:
    return any(
        fnmatch.fnmatchcase(text.lower(), pattern) for text in (file.path, file.name, PurePosixPath(file.name).stem)
    )
