"""Every link between the documents leads somewhere, and so does every anchor that the code cites."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
CODE = sorted(
    path
    for folder in ("edgemed", "convert", "quant", "tui", "tools")
    for path in (ROOT / folder).rglob("*")
    if path.suffix in {".py", ".cpp", ".h", ".inc"} and not path.is_symlink()
)
LINK = re.compile(r"(?:\]\(|^\[[^]]+\]: )(?!https?:)([^)#\s]*)(?:#([^)\s]*))?(?:\)|$)", re.MULTILINE)
CITATION = re.compile(r"docs/([a-z_/]+\.md)(?:#([a-z0-9-]+))?")


def anchors(page: Path) -> set[str]:
    """The anchors that a forge makes of the page's headings."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target, anchor in LINK.findall(page.read_text(encoding="utf-8")):
        path = (page.parent / target).resolve() if target else page
        assert path.exists(), f"{page.name} links to {target}, which does not exist"
        if anchor and path.suffix == ".md":
            assert anchor in anchors(path), f"{page.name} links to {target}#{anchor}, which has no such heading"


def test_code_cites_headings_that_exist() -> None:
    for path in CODE:
        for name, anchor in CITATION.findall(path.read_text(encoding="utf-8")):
            if f"/{name}" in {"/gguf.md"}:  # ggml's own page
                continue
            page = ROOT / "docs" / name
            assert page.exists(), f"{path.name} cites docs/{name}, which does not exist"
            assert not anchor or anchor in anchors(page), f"{path.name} cites docs/{name}#{anchor}: no such heading"
