"""The package speaks plain English: phrases that a native engineer would not write stay out.

Docstrings, comments and messages are read; the words of the field are in docs/GLOSSARY.md.
"""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import napari_pathseg

PACKAGE = Path(napari_pathseg.__file__).parent
BANNED = (
    r"\btold\b",
    r"\banew\b",
    r"by and by",
    r"\bis none\b",
    r"\bis no number\b",
    r"\bwhoever\b",
    r"\bin hand\b",
    r"\bspoken\b",
    r"\bstands? for\b",
    r"\blet go\b",
    r"\bfelt\b",
    r"\bwhat of it\b",
    r"\bbeside the window\b",
    r"\ba name of its own\b",
    r"\bmended?\b",
    r"\bdeeds?\b",
    r"\bheed",
    r"\bwhat becomes of\b",
    r"\bby whom\b",
    r"\bknows? no\b",
    r"\bhas no say\b",
    r"\bthat lies? ready\b",
)
BAN = re.compile("|".join(BANNED), re.IGNORECASE)


def texts_of(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the line and text of each docstring, comment and message of a module."""
    source = path.read_text(encoding="utf8")
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
            yield node.lineno, node.value
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


def functions_of(path: Path) -> Iterator[ast.FunctionDef]:
    """Yield the functions and methods of a module that are no properties."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf8"))):
        names = [ast.unparse(decorator) for decorator in getattr(node, "decorator_list", [])]
        if isinstance(node, ast.FunctionDef) and not any("property" in name for name in names):
            yield node


def test_summary_lines_begin_with_a_verb_not_with_whether():
    found = [
        f"{path.relative_to(PACKAGE)}:{node.lineno} {node.name}"
        for path in sorted(PACKAGE.rglob("*.py"))
        for node in functions_of(path)
        if (ast.get_docstring(node) or "").startswith("Whether")
    ]
    assert found == []


def test_package_reads_as_plain_english():
    found = [
        f"{path.relative_to(PACKAGE)}:{line} {hit.group()!r}"
        for path in sorted(PACKAGE.rglob("*.py"))
        for line, text in texts_of(path)
        if (hit := BAN.search(text))
    ]
    assert found == []
