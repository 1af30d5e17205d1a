"""Links between documents, and anchors cited in code, point to a page or heading that exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("recipes/*/*.md")])
FOLDERS = ("benchmarks", "convert", "edgemed", "quant", "recipes", "testing", "tests", "tools", "tui")
CODE = [
    path
    for folder in FOLDERS
    for path in (ROOT / folder).rglob("*")
    if path.suffix in {".py", ".cpp", ".h", ".inc"} and path != Path(__file__)
]
LINK = re.compile(r"(?:\]\(|^\[[^]]+\]: )(?!https?:)([^)#\s]*)(?:#([^)\s]*))?(?:\)|$)", re.MULTILINE)
CITATION = re.compile(r"\bdocs/([a-z0-9_/-]+\.md)(?:#([a-z0-9-]+))?")


def anchors(page: Path) -> set[str]:
    """Return the anchors that a code host makes of the page's headings."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_have_targets(page: Path) -> None:
    for target, anchor in LINK.findall(page.read_text(encoding="utf-8")):
        path = (page.parent / target).resolve() if target else page
        assert path.exists(), f"{page.name} links to {target}, which does not exist"
        if anchor and path.suffix == ".md":
            assert anchor in anchors(path), f"{page.name} links to {target}#{anchor}, which has no such heading"


def test_cited_headings_exist() -> None:
    for path in [ROOT / "pyproject.toml", *CODE]:
        for name, anchor in CITATION.findall(path.read_text(encoding="utf-8")):
            if name == "gguf.md":  # this page is ggml's
                continue
            page = ROOT / "docs" / name
            assert page.exists(), f"{path.name} cites docs/{name}, which does not exist"
            assert not anchor or anchor in anchors(page), f"{path.name} cites docs/{name}#{anchor}: no such heading"


def test_every_control_of_the_hazard_log_has_its_test() -> None:
    """A control without a test that exists does not count as one."""
    text = (ROOT / "docs" / "hazards.md").read_text("utf-8")
    code = "".join(path.read_text("utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    named = re.findall(r"`(test_\w+)`", text)
    assert len(named) > 20
    assert [name for name in named if f"def {name}(" not in code] == []
    assert [path for path in re.findall(r"`(tests/[\w/.]+)`", text) if not (ROOT / path).exists()] == []
