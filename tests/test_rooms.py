"""Who may import whom: each package imports only packages below it, and only the libraries it is for."""

import ast
import re
import subprocess
import sys
from collections.abc import Collection
from pathlib import Path

import pytest

import napari_pathseg

PACKAGE = Path(napari_pathseg.__file__).parent
# From the lowest up: a package imports only from the rows above its own in this table, never from its own row.
ORDER = (
    ("errors", "geometry"),
    ("settings", "classes", "storage"),
    ("slides", "samples", "config"),
    ("contours",),
    ("masks", "interactive"),
    ("projects",),
    ("engine",),
    ("jobs",),
    ("doctor",),
    ("ui",),
    ("cli",),
)
LEVELS = {package: level for level, packages in enumerate(ORDER) for package in packages}
TORCH, QT, NAPARI = ("torch", "segmentation_models_pytorch"), ("qtpy", "PyQt5", "PyQt6", "PySide6"), ("napari",)
HIGH = ("engine", "jobs", "doctor", "ui", "cli")
WITHOUT = {
    **{package: (*TORCH, *QT, *NAPARI) for package in LEVELS if package not in HIGH},
    "engine": (*QT, *NAPARI),
    "jobs": (*QT, *NAPARI),
    "doctor": QT[1:],  # `probes` asks torch and Qt, in processes of their own
    "ui": (*TORCH, *QT[1:]),
    "ui/session": (*TORCH, *QT),
    "cli": QT,
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


def local_imports(path: Path, modules: Collection[str]) -> set[str]:
    """Return the modules that a file imports; `from package import module` is one of the module alone."""
    names: set[str] = set()
    stub = path.with_suffix(".pyi")  # of a package that loads its names on first use
    nodes = [*ast.walk(ast.parse(path.read_text(encoding="utf8")))]
    if stub.exists():
        package = ".".join(path.parent.relative_to(PACKAGE.parent).parts)
        names |= {f"{package}.{node.module}" for node in ast.parse(stub.read_text(encoding="utf8")).body}
    for node in nodes:
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            names.update(name if name in modules else node.module for name in inner)
    return names & set(modules)


def files_of(package: str) -> list[Path]:
    return sorted((PACKAGE / package).rglob("*.py")) or [PACKAGE / f"{package}.py"]


@pytest.mark.parametrize("package", LEVELS)
def test_package_imports_only_packages_below_it(package):
    above = {other for other in LEVELS if LEVELS[other] >= LEVELS[package]} - {package}
    for path in files_of(package):
        for name in imports_of(path):
            parts = name.split(".")
            assert parts[0] != "napari_pathseg" or len(parts) < 2 or parts[1] not in above, f"{path} imports {name}"


@pytest.mark.parametrize("package", WITHOUT)
def test_package_imports_only_the_libraries_it_is_for(package):
    for path in files_of(package):
        for name in imports_of(path):
            assert name.split(".")[0] not in WITHOUT[package], f"{path} imports {name}"


def test_no_module_imports_itself_in_a_circle():
    """Lazy imports and those under TYPE_CHECKING count; the package's root is lazy on purpose."""
    paths = {".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts): path for path in PACKAGE.rglob("*.py")}
    modules = {name.removesuffix(".__init__"): path for name, path in paths.items()}
    edges = {name: local_imports(path, modules) - {name} for name, path in modules.items()}
    edges["napari_pathseg"] = set()
    while leaves := {name for name, targets in edges.items() if not targets}:
        edges = {name: targets - leaves for name, targets in edges.items() if name not in leaves}
    assert not edges, f"these modules import each other, or import some that do: {sorted(edges)}"


def test_every_package_has_a_row_in_the_order():
    assert {path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"} <= LEVELS.keys()


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import napari_pathseg", ("torch", "qtpy", "napari", "numpy")),
        ("import napari_pathseg.cli", ("torch", "qtpy", "napari", "numpy")),
        (
            "import napari_pathseg.projects.checks.trainability, napari_pathseg.projects.importing.add_slides",
            ("torch", "napari"),
        ),
        ("import napari_pathseg.doctor.examination", ("torch", "qtpy", "napari")),
        ("import napari_pathseg.ui.session.session, napari_pathseg.ui.worker_process", ("torch",)),
    ],
)
def test_importing_costs_no_more_than_it_must(statement, absent):
    code = f"{statement}; import sys; print([m for m in {absent!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_no_file_class_or_function_outgrows_its_size():
    for path in PACKAGE.rglob("*.py"):
        text = path.read_text(encoding="utf8")
        assert text.count("\n") <= 500, path
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                body = node.body[1:] if ast.get_docstring(node) and len(node.body) > 1 else node.body
                assert node.end_lineno - body[0].lineno < 50, f"{path}: {node.name}"
            if isinstance(node, ast.ClassDef):
                assert node.end_lineno - node.lineno <= 400, f"{path}: {node.name}"


def test_no_base_class_has_exactly_one_child():
    children: dict[str, list[str]] = {}
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf8"))):
            if isinstance(node, ast.ClassDef):
                children.setdefault(node.name, [])
                for base in node.bases:
                    if isinstance(base, ast.Name):
                        children.setdefault(base.id, []).append(node.name)
    ours = {
        node.name
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf8")))
        if isinstance(node, ast.ClassDef)
    }
    assert {base: found for base, found in children.items() if base in ours and len(found) == 1} == {}


def test_files_of_strangers_are_never_run():
    for path in PACKAGE.rglob("*.py"):
        text = path.read_text(encoding="utf8")
        found = re.search(r"\bpickle\b|allow_pickle=True|weights_only=False|(?<![.\w])(eval|exec)\(|shell=True", text)
        assert found is None, f"{path} has {found.group()}"
