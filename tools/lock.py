"""Write the lock files that `make setup` installs from; with --check, refuse files that do not match pyproject.toml.

    requirements-build.lock  pip itself, and what builds llama.cpp and the native library
    requirements.lock        everything else: what edgemed needs, and the `dev` extra

Each line is `name==version` with the SHA-256 of every file that CPython on x86-64 Linux may install. No line names a
host or an index, so the files work with any mirror. Run as `make lock`, which needs uv.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import tomllib
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name, parse_wheel_filename

ROOT = Path(__file__).parent.parent
BUILD, MAIN = ROOT / "requirements-build.lock", ROOT / "requirements.lock"
PIP = "pip==26.3"
BUILD_TOOLS = ["cmake>=3.24", "ninja>=1.11", PIP]  # besides pyproject.toml's build-system.requires
EXTRA = "dev"
MIN_MINOR = 11  # of the Python versions that are supported
HEAD = "# Written by `make lock`.\n"
_LINUX = "sys_platform == 'linux' and platform_machine == 'x86_64' and implementation_name == 'cpython'"
_PACKAGE = re.compile(r"([a-z0-9][a-z0-9-]*)==([0-9A-Za-z.!+]+)((?: \\\n    --hash=sha256:[0-9a-f]{64})+)\n")


def faults(project: dict[str, Any], main: str, build: str) -> list[str]:
    """What is wrong with the contents of the two files, in sentences."""
    found, locked = [], {}
    for name, text in ((MAIN.name, main), (BUILD.name, build)):
        body = text.removeprefix(HEAD)
        rest = _PACKAGE.sub("", body)
        if rest:
            found.append(f"{name}: {rest.splitlines()[0]!r:.80} is not `name==version` with hashes.")
        packages = [(match[1], match[2]) for match in _PACKAGE.finditer(body)]
        if packages != sorted(set(packages)):
            found.append(f"{name}: its packages are not in order, or one is there twice.")
        locked[name] = dict(packages)
    for name, wanted in ((MAIN.name, _wanted(project)), (BUILD.name, _wanted_to_build(project))):
        for requirement in map(Requirement, wanted):
            version = locked[name].get(canonicalize_name(requirement.name))
            if version is None or not requirement.specifier.contains(version, prereleases=True):
                found.append(f"{name} has {requirement.name} {version}, but {requirement} is needed.")
    both = locked[MAIN.name].keys() & locked[BUILD.name].keys()
    found += [
        f"{name} has two versions." for name in sorted(both) if len({files[name] for files in locked.values()}) > 1
    ]
    return found


def needless(project: dict[str, Any], main: str) -> list[str]:
    """Packages of the main file that nothing needs, or that it lacks, by what the installed packages say they need."""
    found, seen = [], set()
    locked = {match[1] for match in _PACKAGE.finditer(main)}
    waiting = [(Requirement(text), project["project"]["name"]) for text in _wanted(project)]
    while waiting:
        requirement, by = waiting.pop()
        name = canonicalize_name(requirement.name)
        if name not in locked:
            found.append(f"{MAIN.name} lacks {name}, which {by} needs.")
        wanted = {(name, extra) for extra in ("", *requirement.extras)} - seen
        seen |= wanted
        for _, extra in sorted(wanted):
            for text in _requires(name):
                further = Requirement(text)
                if further.marker is None or further.marker.evaluate({"extra": extra}):
                    waiting.append((further, name))
    return found + [f"{MAIN.name}: nothing needs {name}." for name in sorted(locked - {name for name, _ in seen})]


def _wanted(project: dict[str, Any]) -> list[str]:
    return [*project["project"]["dependencies"], *project["project"]["optional-dependencies"][EXTRA]]


def _requires(name: str) -> list[str]:
    try:
        return requires(name) or []
    except PackageNotFoundError:  # of another platform, or not locked
        return []


def _wanted_to_build(project: dict[str, Any]) -> list[str]:
    return [*project["build-system"]["requires"], *BUILD_TOOLS]


def write(project: dict[str, Any]) -> None:
    """Resolve both sets and write the files. Versions in the present files are kept where they still fit."""
    text = "".join(path.read_text() for path in (MAIN, BUILD) if path.exists())
    kept = [f"{match[1]}=={match[2]}" for match in _PACKAGE.finditer(text)]
    MAIN.write_text(HEAD + _resolved(_wanted(project), kept))
    BUILD.write_text(HEAD + _resolved(_wanted_to_build(project), kept))


def _resolved(requirements: list[str], kept: list[str]) -> str:
    """The lines for these requirements and everything that they need."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "pyproject.toml").write_text(
            f'[project]\nname = "locked"\nversion = "0"\nrequires-python = ">=3.{MIN_MINOR}"\n'
            f"dependencies = {requirements!r}\n"
            f"[tool.uv]\nenvironments = [{_LINUX!r}]\nconstraint-dependencies = {kept!r}\n"
        )
        subprocess.run(["uv", "lock", "--quiet", "--system-certs", "--directory", folder], check=True)
        packages = tomllib.loads(Path(folder, "uv.lock").read_text())["package"]
    packages.sort(key=lambda package: str(package["name"]))
    return "".join(_line(package) for package in packages if package["name"] != "locked")


def _line(package: dict[str, Any]) -> str:
    files = [wheel for wheel in package.get("wheels", []) if _may_install(wheel["url"].rpartition("/")[2])]
    hashes = sorted(file["hash"] for file in files or [package["sdist"]])
    return f"{package['name']}=={package['version']}" + "".join(f" \\\n    --hash={digest}" for digest in hashes) + "\n"


def _may_install(filename: str) -> bool:
    """Whether CPython 3.11 or newer on x86-64 Linux may install this wheel."""
    for tag in parse_wheel_filename(filename)[3]:
        version = re.fullmatch(r"(py|cp)(\d)(\d*)", tag.interpreter)
        if version is None or version[2] != "3" or tag.abi.endswith("t"):
            continue
        minor = int(version[3] or 0)
        fits = tag.abi in ("none", "abi3") or minor >= MIN_MINOR
        if fits and (tag.platform == "any" or re.fullmatch(r"(many|musl)?linux.*_x86_64", tag.platform)):
            return True
    return False


def main() -> int:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    if "--check" not in sys.argv:
        write(project)
    found = faults(project, MAIN.read_text(), BUILD.read_text()) + needless(project, MAIN.read_text())
    for fault in found:
        print(f"{fault} Run `make lock`.", file=sys.stderr)
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
