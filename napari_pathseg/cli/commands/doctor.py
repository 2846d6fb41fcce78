"""Check the installation."""

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

from napari_pathseg.cli.arguments import add_command
from napari_pathseg.cli.output import Answer
from napari_pathseg.cli.terminal import say

# The keys of `doctor.examination.CHECKS`, whose import costs time; a test compares them.
CHECKS = (
    "Python",
    "Packages",
    "napari",
    "Memory",
    "Cores",
    "Disk",
    "Folder",
    "Locks",
    "Temporary",
    "Qt",
    "OpenGL",
    "Readers",
    "torch",
    "Weights",
    "Worker",
    "Trial",
)


def add_commands(parsers: Any) -> None:
    """Add ``doctor``."""
    about = "check this installation and computer: what does not work, and what to do about it"
    command = add_command(parsers, "doctor", examine_installation, about, project=False)
    command.add_argument(
        "folder", nargs="?", type=Path, metavar="PROJECT", help="project, or a folder for projects (the current folder)"
    )
    about = f"make this check alone; may be repeated: {', '.join(CHECKS)} (all)"
    command.add_argument("--only", action="append", type=_check, choices=CHECKS, metavar="CHECK", help=about)


def examine_installation(args: argparse.Namespace) -> Answer:
    """Make the checks."""
    from napari_pathseg.doctor.examination import examine, report, summary
    from napari_pathseg.errors import ConfigError

    folder = args.folder or Path.cwd()
    if not folder.is_dir():
        raise ConfigError(f"{folder} is not a folder. Give a project, or a folder for projects.")
    findings = []
    for finding in examine(folder, args.only or ()):
        findings.append(finding)
        say(f"{finding.name}: {finding.state}")
    return {
        "sound": not any(one.state == "fault" for one in findings),
        "findings": [asdict(one) for one in findings],
        "summary": summary(findings),
        "report": report(findings),
    }


def _check(text: str) -> str:
    """Return the name of a check, however its letters are written."""
    return next((name for name in CHECKS if name.lower() == text.lower()), text)
