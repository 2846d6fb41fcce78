"""All checks together: what they answer on this computer, and that nothing private is in it."""

import getpass
import json
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from napari_pathseg.cli.commands.doctor import CHECKS as CHOICES
from napari_pathseg.doctor import examination
from napari_pathseg.doctor.examination import CHECKS, examine, report, summary, without_private
from napari_pathseg.doctor.finding import Finding

FINE = Finding("ok", "It works.", name="Trial")
SLOW = Finding("warning", "It is slow.", "Wait.", "Cores")
BROKEN = Finding("fault", "It does not work.", "Install it.", "torch")


def test_command_offers_the_checks_that_there_are():
    assert tuple(CHECKS) == CHOICES


def test_every_check_answers_on_this_computer(project):
    command = [sys.executable, "-m", "napari_pathseg.doctor", str(project.folder)]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    findings = [Finding(**json.loads(line)) for line in ended.stdout.splitlines()]
    assert [one.name for one in findings] == list(CHECKS)
    assert [one for one in findings if one.state == "fault" and one.name != "OpenGL"] == []
    assert all(bool(one.remedy) == (one.state != "ok") for one in findings)
    text = "\n".join(report(findings))
    assert str(project.folder) not in text
    assert {getpass.getuser(), socket.gethostname(), Path.home().name} & set(re.split(r"[^\w-]", text)) == set()


def test_check_that_fails_hides_no_other(monkeypatch, tmp_path):
    def fail(_):
        raise RuntimeError(f"{tmp_path}/slide7 is odd")

    monkeypatch.setattr(examination, "CHECKS", {"first": fail, "second": lambda _: Finding.ok("Fine.")})
    first, second = examine(tmp_path)
    assert (first.state, first.what) == ("fault", "The check failed: RuntimeError: <folder>/slide7 is odd.")
    assert (second.state, second.name) == ("ok", "second")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("{folder}/a.tif of {user} on {host}", "<folder>/a.tif of <user> on <host>"),
        ("{home}/.cache", "<home>/.cache"),
        ("/home/smith/x", "/home/<user>/x"),
        (r"C:\Users\J. Smith\x", r"C:\Users\<user>\x"),
        (r"\\clinic\share", r"\\<user>\share"),
    ],
)
def test_names_of_users_computers_and_folders_are_left_out(text, shown, tmp_path):
    names = {"folder": tmp_path, "user": getpass.getuser(), "host": socket.gethostname(), "home": Path.home()}
    assert without_private(text.format(**names), tmp_path) == shown


def test_report_says_what_to_do_and_counts(capsys):
    assert report([FINE, BROKEN])[:3] == [
        "ok       Trial  It works.",
        "FAULT    torch  It does not work.",
        "                To do: Install it.",
    ]
    assert summary([FINE]) == "All is well."
    assert summary([FINE, SLOW, BROKEN]) == "1 fault and 1 warning in 3 checks."
    assert summary([SLOW, SLOW]) == "2 warnings in 2 checks."
