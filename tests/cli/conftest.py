"""Run the command line as a user does, without JSON."""

from collections.abc import Callable
from typing import Any

import pytest

from napari_pathseg.cli import main


@pytest.fixture
def run_pathseg(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, list[str], list[str]]]:
    """Run a command; return its exit code and the lines that it printed to stdout and stderr."""

    def run(*arguments: Any) -> tuple[int, list[str], list[str]]:
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return code, captured.out.splitlines(), captured.err.splitlines()

    return run
