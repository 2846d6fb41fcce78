"""The pages for developers name files that are there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = ("README.md", "docs/ARCHITECTURE.md", "docs/CONTRIBUTING.md", "docs/GLOSSARY.md")


@pytest.mark.parametrize("page", PAGES)
def test_pages_name_only_files_that_exist(page):
    text = (ROOT / page).read_text(encoding="utf8")
    named = set(re.findall(r"\b[\w/]+/\w+\.(?:py|yaml|md)\b", text))
    folders = (ROOT, ROOT / "napari_pathseg", ROOT / "docs")
    assert {name for name in named if not any((folder / name).is_file() for folder in folders)} == set()
