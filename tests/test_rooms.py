"""Who may import whom: the rooms of the package keep their promises."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import napari_pathseg

PACKAGE = Path(napari_pathseg.__file__).parent
FORBIDDEN = {
    "data": ("torch", "napari", "qtpy", "napari_pathseg.engine", "napari_pathseg.jobs", "napari_pathseg.ui"),
    "engine": ("napari", "qtpy", "napari_pathseg.jobs", "napari_pathseg.ui"),
    "jobs": ("napari", "qtpy", "napari_pathseg.ui"),
    "ui": ("torch", "PyQt5", "PyQt6", "PySide6", "segmentation_models_pytorch"),
}


def imports_of(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


@pytest.mark.parametrize("room", FORBIDDEN)
def test_a_room_imports_only_what_lies_below_it(room):
    for path in (PACKAGE / room).rglob("*.py"):
        for name in imports_of(path):
            for taboo in FORBIDDEN[room]:
                assert not f"{name}.".startswith(f"{taboo}."), f"{path} imports {name}"


@pytest.mark.parametrize("module", ["session", "learning", "layers", "run", "mask_layer"])
def test_the_session_side_of_the_window_knows_no_qt(module):
    assert not any(name.startswith("qtpy") for name in imports_of(PACKAGE / "ui" / f"{module}.py"))


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import napari_pathseg", ("torch", "qtpy", "napari", "numpy")),
        ("import napari_pathseg.cli", ("torch", "qtpy", "napari", "numpy")),
        ("import napari_pathseg.data.readiness, napari_pathseg.data.importing", ("torch", "napari")),
        ("import napari_pathseg.ui.session, napari_pathseg.ui.worker", ("torch",)),
    ],
)
def test_importing_costs_no_more_than_it_must(statement, absent):
    code = f"{statement}; import sys; print([m for m in {absent!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_no_file_or_function_outgrows_the_budget():
    for path in PACKAGE.rglob("*.py"):
        text = path.read_text(encoding="utf8")
        assert text.count("\n") <= 300, path
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                body = node.body[1:] if ast.get_docstring(node) and len(node.body) > 1 else node.body
                assert node.end_lineno - body[0].lineno < 40, f"{path}: {node.name}"
            if isinstance(node, ast.ClassDef):
                assert node.end_lineno - node.lineno <= 200, f"{path}: {node.name}"


def test_files_of_strangers_are_never_run():
    for path in PACKAGE.rglob("*.py"):
        text = path.read_text(encoding="utf8")
        found = re.search(r"\bpickle\b|allow_pickle=True|weights_only=False|(?<![.\w])(eval|exec)\(|shell=True", text)
        assert found is None, f"{path} has {found.group()}"
