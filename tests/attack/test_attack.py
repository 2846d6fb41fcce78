"""Files and projects of strangers: each attack of the tables gets its answer, and nothing else happens.

Commands run through the command line in forked children, which measure memory and time.  `make attack` runs all rows
and asserts the time; `make test` runs some of each kind.
"""

import os
import socket
import threading

import contour_cases
import forks
import project_cases
import pytest
import run_cases
import scene
import slide_cases

ALL = bool(os.environ.get("ATTACK"))  # set by `make attack`
MOST_MEGABYTES = 1024
LIMIT_S = 300  # after which a command is killed; far more than any takes, also on a busy machine
OWN = {"p.pathseg", "old.pathseg", "out", "out.safetensors"}  # what commands may write

TABLES = (slide_cases, contour_cases, project_cases, run_cases)
CASES = [case for table in TABLES for case in table.CASES if ALL or case.quick]
pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")


@pytest.fixture(scope="module")
def processes():
    """The processes that fork children, by what they have imported; their figures are printed at the end."""
    running, figures = {}, []

    def run(case, command, folder):
        if case.imports not in running:
            running[case.imports] = forks.Forks()
        outcome = running[case.imports].run(command, folder, LIMIT_S, case.imports)
        figures.append((outcome.megabytes, outcome.seconds, str(case)))
        return outcome

    yield run
    for process in running.values():
        process.close()
    if ALL:
        print(f"\n{len(figures)} attacks, peak {max(figures)[0]:.0f} MiB ({max(figures)[2]})")
        for _, seconds, name in sorted(figures, key=lambda figure: -figure[1])[:5]:
            print(f"{seconds:5.1f} s {name}")


@pytest.fixture(scope="module")
def server():
    """Listen on this machine; return the address and the connections that came."""
    connections = []

    def accept():
        while True:
            try:
                connection, address = listening.accept()
            except OSError:  # closed
                return
            connection.close()
            connections.append(address)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}", connections


@pytest.fixture(scope="module")
def template(tmp_path_factory, processes):
    """A folder with an ordinary project of two slides, and a folder that belongs to nobody."""
    folder = tmp_path_factory.mktemp("template")
    scene.write_template(folder)
    ordinary = scene.Case("none", "none", lambda site: [], 0, "")
    for command in (["new", "p.pathseg"], ["add", "p.pathseg", "slides", "--contours", "slides"]):
        assert processes(ordinary, command, folder).code == 0
    return folder


@pytest.mark.parametrize("case", CASES, ids=str)
def test_attack_gets_its_answer_and_touches_nothing_outside(case, template, tmp_path, processes, server):
    url, connections = server
    scene.copy_template(template, tmp_path)
    command = case.make(scene.Site(tmp_path, url))
    before = scene.snapshot(tmp_path, OWN)
    outcome = processes(case, command, tmp_path)
    assert (outcome.code, "Traceback" in outcome.printed) == (case.code, False), outcome.printed
    assert case.says in outcome.printed
    assert scene.snapshot(tmp_path, OWN) == before
    assert connections == []
    assert "MemoryError" not in outcome.printed
    assert outcome.megabytes < MOST_MEGABYTES
    assert not ALL or outcome.seconds < case.seconds
