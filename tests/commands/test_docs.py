"""What the pages for people point at is there."""

import re

import pytest
from helpers.commands import ROOT

PAGES = sorted(
    page
    for folders in (".", "docs", "docker", "benchmarks", "experiments", "experiments/*")
    for page in ROOT.glob(f"{folders}/*.md")
)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_and_pictures_exist(page):
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    targets = [target.partition("#")[0] for target in re.findall(r"\]\(([^)\s]+)\)", text)]
    missing = [target for target in targets if target and ":" not in target and not (page.parent / target).exists()]
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_rows_of_tables_are_as_wide_as_their_heads(page):
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    text = re.sub(r"`[^`\n]*`|\$[^$\n]*\$", "x", text).replace("\\|", "x")
    for table in re.findall(r"(?:^\|.*\n)+", text, flags=re.MULTILINE):
        widths = [line.count("|") for line in table.splitlines()]
        assert len(set(widths)) == 1, table
