"""Real processes hold the lock, are stopped, killed and raced."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

from napari_pathseg.errors import ProjectError
from napari_pathseg.storage.lock import LeaseTiming, LockOwner, ProjectLock

QUICK = LeaseTiming(heartbeat_s=0.05, stale_s=0.6)
ENTRIES = 5
HOLDER = """
import sys
from pathlib import Path
from napari_pathseg.storage.lock import LeaseTiming, ProjectLock
from napari_pathseg.errors import ProjectError

lock = ProjectLock(Path(sys.argv[1]), LeaseTiming(float(sys.argv[2]), float(sys.argv[3])))
lock.acquire("the window")
print("held", flush=True)
for order in sys.stdin:
    try:
        lock.check() if order.strip() == "check" else lock.release()
        print("done", flush=True)
    except ProjectError as error:
        print(error, flush=True)
"""
RACER = """
import json, os, random, sys, time
skew, clocks = float(sys.argv[3]), {name: getattr(time, name) for name in ("time", "monotonic")}
time.time = lambda: clocks["time"]() + skew + random.uniform(-skew, skew)  # a clock that is wrong, and jumps
time.monotonic = lambda: clocks["monotonic"]() + skew
from dataclasses import replace
from pathlib import Path
from napari_pathseg.storage.lock import LockOwner
from napari_pathseg.storage.lock import ProjectLock
from napari_pathseg.errors import ProjectError

folder, entries, entered, met = Path(sys.argv[1]), int(sys.argv[2]), 0, 0
lock, inside = ProjectLock(folder), folder / "inside"
print("ready", flush=True)
sys.stdin.readline()
while entered < entries:
    try:
        lock.acquire()
    except ProjectError:
        continue
    entered += 1
    try:
        os.close(os.open(inside, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        met += 1
    time.sleep(random.uniform(0, 0.003))
    inside.unlink(missing_ok=True)
    if entered % 2:  # as if it had died long ago on another computer
        own = lock._path  # the folder may also hold that of a program which is about to give way
        own.write_text(replace(LockOwner.here("gone"), machine="elsewhere").to_json())
        os.utime(own, (0, 0))
    lock.release()
print(entered, met)
"""


@pytest.fixture
def start(request):
    """Start a program on a folder, under the rules of Windows if the test is; all end with the test."""
    begun = []
    rules = "import pytest, windows_rules; windows_rules.refuse(pytest.MonkeyPatch())\n"
    prelude = rules if request.config.pluginmanager.hasplugin("windows_rules") else ""

    def begin(code, *arguments):
        command = [sys.executable, "-c", prelude + code, *map(str, arguments)]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        begun.append(process)
        return process

    yield begin
    for process in begun:
        process.kill()
        process.communicate()


@pytest.fixture
def holder(start, tmp_path):
    """A second process that holds the lock of the folder; with quick heartbeats."""
    process = start(HOLDER, tmp_path, QUICK.heartbeat_s, QUICK.stale_s)
    assert process.stdout.readline() == "held\n"
    return process


def ask(process, order):
    process.stdin.write(f"{order}\n")
    process.stdin.flush()
    return process.stdout.readline().strip()


def until(reached):
    """Wait until a state is reached."""
    for _ in range(3000):
        if reached():
            return
        time.sleep(0.01)
    raise AssertionError("the state was not reached in 30 seconds")


def age_lock_files(folder):
    for path in folder.glob(".lock-*"):
        os.utime(path, (0, 0))


def leave_foreign(folder, seconds_ago, name=".lock-3"):
    """Leave the lock file of a computer called ws12, with its last heartbeat so long ago."""
    values = {"program": "the window", "user": "anna", "host": "ws12", "machine": "ws12 7e5f"}
    here = LockOwner.here()
    content = {"process": here.process, "since": here.since, "token": here.token, **values}
    (folder / name).write_text(json.dumps(content))
    heartbeat = time.time() - seconds_ago
    os.utime(folder / name, (heartbeat, heartbeat))


def test_lock_file_names_its_owner(tmp_path):
    lock = ProjectLock(tmp_path)
    lock.acquire("the window")
    said = json.loads((tmp_path / ".lock-1").read_text())
    assert (said["program"], said["process"], said["host"]) == ("the window", os.getpid(), socket.gethostname())
    assert {"user", "since"} <= set(said)
    lock.release()
    assert not list(tmp_path.iterdir())


def test_second_program_is_refused_with_the_name_of_the_owner(holder, tmp_path):
    with pytest.raises(ProjectError) as refused:
        ProjectLock(tmp_path).acquire()
    text = str(refused.value)
    assert text.startswith(f"{tmp_path} is open in the window of ")
    assert f" on host {socket.gethostname()} since " in text
    assert text.endswith(f"(process {holder.pid}). Close it there, then try again.")


def test_released_lock_can_be_acquired(holder, tmp_path):
    assert ask(holder, "release") == "done"
    lock = ProjectLock(tmp_path)
    assert lock.acquire()
    lock.release()


def test_lock_of_a_killed_process_here_is_taken_over_at_once(holder, tmp_path):
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    lock = ProjectLock(tmp_path)
    assert lock.acquire()
    lock.release()


def test_lock_of_a_zombie_process_is_taken_over_at_once(holder, tmp_path):
    holder.send_signal(signal.SIGKILL)
    os.waitid(os.P_PID, holder.pid, os.WEXITED | os.WNOWAIT)  # a zombie from here on
    lock = ProjectLock(tmp_path)
    assert lock.acquire()
    lock.release()


def test_owner_with_a_heartbeat_keeps_the_lock(holder, tmp_path):
    begin = (tmp_path / ".lock-1").stat().st_mtime
    until(lambda: (tmp_path / ".lock-1").stat().st_mtime > begin + 2 * QUICK.stale_s)
    with pytest.raises(ProjectError, match="is open in the window"):
        ProjectLock(tmp_path, QUICK).acquire()
    assert ask(holder, "check") == "done"


@pytest.mark.parametrize("seconds_ago", [0, 25])
def test_lock_of_another_computer_with_a_recent_heartbeat_is_kept(tmp_path, seconds_ago):
    leave_foreign(tmp_path, seconds_ago)
    with pytest.raises(ProjectError, match="is open in the window of anna on host ws12 since "):
        ProjectLock(tmp_path).acquire()


@pytest.mark.parametrize("seconds_ago", [31, 7200, -7200])
def test_lock_of_another_computer_without_a_heartbeat_is_taken_over(tmp_path, seconds_ago):
    leave_foreign(tmp_path, seconds_ago)  # of the future: the disk's clock was set back since
    lock = ProjectLock(tmp_path)
    assert lock.acquire()
    assert [path.name for path in tmp_path.iterdir()] == [".lock-4"]
    lock.release()


def test_half_written_lock_file_counts_while_it_is_fresh(tmp_path):
    path = tmp_path / ".lock-1"
    path.write_text("")
    with pytest.raises(ProjectError, match=r"is open in another program\."):
        ProjectLock(tmp_path).acquire()
    os.utime(path, (0, 0))
    lock = ProjectLock(tmp_path)
    assert lock.acquire()
    lock.release()


def test_owner_that_slept_gives_way_to_the_program_that_took_over(holder, tmp_path):
    holder.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, holder.pid, os.WSTOPPED | os.WNOWAIT)
    stopped = time.time()
    age_lock_files(tmp_path)
    taker = ProjectLock(tmp_path, QUICK)
    assert taker.acquire("pathseg add")
    until(lambda: time.time() > stopped + 2 * QUICK.heartbeat_s)  # until then it trusts its last heartbeat
    holder.send_signal(signal.SIGCONT)
    answer = ask(holder, "check")
    assert f"{tmp_path} was taken over by pathseg add of " in answer
    assert "Nothing more is written from here" in answer
    assert ask(holder, "release") == "done"
    with pytest.raises(ProjectError, match="is open in pathseg add"):
        ProjectLock(tmp_path, QUICK).acquire()
    taker.check()
    taker.release()


def test_owner_notices_by_its_heartbeat_that_it_was_taken_over(tmp_path):
    slept, taker = ProjectLock(tmp_path, LeaseTiming(0.5, 30)), ProjectLock(tmp_path, LeaseTiming(5, 1e6))
    slept.acquire()

    def taken():
        age_lock_files(tmp_path)
        try:
            return taker.acquire("the other")
        except ProjectError:  # it touched its file in between
            return False

    until(taken)
    until(lambda: slept.lost_to)
    assert slept.lost_to.startswith("the other of ")
    with pytest.raises(ProjectError, match="was taken over by the other"):
        slept.acquire()
    slept.release()
    assert taker.other_owner() == ""
    taker.release()


def test_owner_is_not_trusted_while_its_heartbeat_finds_out_who_took_over(tmp_path, monkeypatch):
    looking = threading.Event()

    def describe(_held):
        looking.set()
        time.sleep(10 * QUICK.heartbeat_s)
        return "the other"

    slept = ProjectLock(tmp_path, QUICK)
    slept.acquire()
    monkeypatch.setattr("napari_pathseg.storage.lock._describe", describe)
    (tmp_path / ".lock-1").unlink()
    slept._last_heartbeat = (0.0, 0.0)
    assert looking.wait(30)
    with pytest.raises(ProjectError, match="was taken over by the other"):
        slept.check()


def test_owner_whose_clock_was_set_back_while_it_slept_looks_at_the_lock_again(tmp_path, monkeypatch):
    slept = ProjectLock(tmp_path, LeaseTiming(5, 30))
    slept.acquire()
    wall, steady = slept._last_heartbeat
    age_lock_files(tmp_path)
    taker = ProjectLock(tmp_path, LeaseTiming(5, 30))
    taker.acquire("the other")
    slept._last_heartbeat = (wall, steady - 60)  # a minute has passed, and the wall clock says that none has
    with pytest.raises(ProjectError, match="was taken over by the other"):
        slept.check()
    slept.release()
    taker.release()


def test_moved_folder_is_gone_and_not_taken_over(tmp_path):
    folder = tmp_path / "before"
    folder.mkdir()
    lock = ProjectLock(folder, QUICK)
    lock.acquire()
    folder.rename(tmp_path / "after")
    until(lambda: lock.gone)
    assert not lock.held
    with pytest.raises(ProjectError, match="before is gone: it was moved, renamed or deleted, or its disk was removed"):
        lock.check()
    (tmp_path / "after").rename(folder)
    until(lambda: lock.held)
    lock.check()
    lock.release()
    assert list(folder.iterdir()) == []


def test_folder_renamed_while_open_can_be_opened_at_once_by_the_same_program(tmp_path):
    folder = tmp_path / "before"
    folder.mkdir()
    lock, renamed = ProjectLock(folder), ProjectLock(tmp_path / "after")
    lock.acquire()
    folder.rename(tmp_path / "after")
    lock.release()
    assert renamed.acquire()
    renamed.release()
    assert list((tmp_path / "after").iterdir()) == []


def test_lock_acquired_twice_is_released_twice(tmp_path):
    lock, other = ProjectLock(tmp_path), ProjectLock(tmp_path)
    assert lock.acquire()
    assert not lock.acquire()
    lock.release()
    with pytest.raises(ProjectError):
        other.acquire()
    lock.release()
    assert other.acquire()
    other.release()


@pytest.mark.parametrize("skew", [0, 86_400])
def test_lock_has_one_owner_at_a_time_in_a_race(start, tmp_path, skew):
    racers = [start(RACER, tmp_path, ENTRIES, skew * (number - 2)) for number in range(6)]
    assert all(racer.stdout.readline() == "ready\n" for racer in racers)
    for racer in racers:
        racer.stdin.write("go\n")
        racer.stdin.flush()
    answers = [racer.communicate()[0].split() for racer in racers]
    assert answers == [[str(ENTRIES), "0"]] * 6


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write anywhere")
def test_read_only_folder_is_named(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(ProjectError, match="cannot be written .* Allow writing to the project folder"):
        ProjectLock(tmp_path).acquire()
    tmp_path.chmod(0o700)
