"""README.md and docs/: links, tables and lengths."""

import re
from pathlib import Path

import pytest
from helpers.commands import ROOT

FOLDERS = (".", "docs", "docker", "benchmarks", "experiments", "experiments/*")
PAGES = sorted(page for folder in FOLDERS for page in ROOT.glob(f"{folder}/*.md"))
FRONT = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("docs/*.md"))]


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def without_code_blocks(page: Path) -> str:
    return re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", without_code_blocks(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_and_pictures_exist(page):
    missing = []
    for target in re.findall(r"\]\(([^)\s]+)\)", without_code_blocks(page)):
        file, _, anchor = target.partition("#")
        if ":" in file:
            continue
        there = (page.parent / file) if file else page
        if not there.exists() or (anchor and anchor not in anchors(there)):
            missing.append(target)
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_rows_of_tables_are_as_wide_as_their_heads(page):
    text = re.sub(r"`[^`\n]*`|\$[^$\n]*\$", "x", without_code_blocks(page)).replace("\\|", "x")
    for table in re.findall(r"(?:^\|.*\n)+", text, flags=re.MULTILINE):
        widths = [line.count("|") for line in table.splitlines()]
        assert len(set(widths)) == 1, table


@pytest.mark.parametrize("page", FRONT, ids=name)
def test_no_table_cell_is_longer_than_120_characters(page):
    rows = [line for line in without_code_blocks(page).splitlines() if line.startswith("|")]
    cells = [cell.strip() for row in rows for cell in re.split(r"(?<!\\)\|", row)]
    # What the reader sees: a link's address is not shown.
    shown = [re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", cell) for cell in cells]
    assert not [cell for cell in shown if len(cell) > 120]


def test_the_readme_is_short_and_lists_all_pages():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 130
    pages = [f"docs/{page.name}" for page in sorted(ROOT.glob("docs/*.md"))]
    assert len(pages) <= 18
    assert not [page for page in pages if f"({page})" not in text]
