"""The pages for developers name files, functions and classes that are there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = ("README.md", "docs/ARCHITECTURE.md", "docs/CONTRIBUTING.md", "docs/GLOSSARY.md", "docs/BENCHMARKS.md")

DEVELOPER_PAGES = PAGES[1:4]
PATTERNS = {"open_x", "is_x", "read_x", "write_x"}  # names that a recipe makes up


@pytest.mark.parametrize("page", PAGES)
def test_pages_name_only_files_that_exist(page):
    text = (ROOT / page).read_text(encoding="utf8")
    named = set(re.findall(r"\b[\w/]+/\w+\.(?:py|yaml|md)\b", text))
    folders = (ROOT, ROOT / "napari_pathseg", ROOT / "docs")
    assert {name for name in named if not any((folder / name).is_file() for folder in folders)} == set()


@pytest.mark.parametrize("page", DEVELOPER_PAGES)
def test_pages_for_developers_name_only_code_that_exists(page):
    text = re.sub(r"```.*?```", "", (ROOT / page).read_text(encoding="utf8"), flags=re.DOTALL)
    words = {word for quoted in re.findall(r"`([^`\n]+)`", text) for word in re.findall(r"[A-Za-z_]\w+", quoted)}
    named = {word for word in words if "_" in word or re.search("[a-z][A-Z]", word)}
    files = [path for folder in ("napari_pathseg", "tests") for path in (ROOT / folder).rglob("*")]
    files.remove(Path(__file__))
    texts = [path.read_text(encoding="utf8") for path in files if path.suffix in (".py", ".yaml")]
    known = PATTERNS | {path.stem for path in files} | set(re.findall(r"\w+", "\n".join(texts)))
    assert named - known == set()
