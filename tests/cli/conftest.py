"""The command line as a person has it: no JSON."""

from collections.abc import Callable
from typing import Any

import pytest

from napari_pathseg.cli import main


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, list[str], list[str]]]:
    """Run a command; return its exit code and the lines that it wrote on stdout and on stderr."""

    def run(*arguments: Any) -> tuple[int, list[str], list[str]]:
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return code, captured.out.splitlines(), captured.err.splitlines()

    return run
