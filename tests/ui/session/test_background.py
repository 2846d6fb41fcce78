"""Flows that run beside the window: their order, their errors, and what closing and stopping leave."""

import threading
import time

import pytest

from napari_pathseg.errors import ProjectError
from napari_pathseg.ui.session.background import BackgroundJobs, Wait, Work, run_now

pytestmark = pytest.mark.usefixtures("beside")


@pytest.fixture
def jobs():
    jobs = BackgroundJobs()
    yield jobs
    jobs.close()


def finish(jobs):
    until = time.monotonic() + 20
    while jobs.active and time.monotonic() < until:
        jobs.poll(0.1)
    assert not jobs.active


def fail(error):
    raise AssertionError(error)


def test_work_runs_in_a_thread_and_the_rest_where_it_is_polled(jobs):
    threads = []

    def flow():
        threads.append(threading.current_thread())
        inside = yield Work(lambda _: threading.current_thread(), "Reading")
        threads.append(threading.current_thread())
        return inside

    jobs.start(flow(), threads.append, fail)
    finish(jobs)
    here = threading.main_thread()
    assert threads[:2] == [here, here]
    assert threads[2] is not here


def test_a_flow_that_waits_lets_the_window_go_on_until_it_is_over_or_stopped(jobs):
    over, results = [], []

    def flow():
        return (yield Wait(lambda: bool(over), lambda: fail("at once"), "Waiting"))

    jobs.start(flow(), results.append, fail)
    jobs.poll()
    assert jobs.active
    assert (jobs.title, results) == ("Waiting", [])
    over.append(True)
    jobs.poll()
    assert results == [True]
    over.clear()
    jobs.start(flow(), results.append, fail)
    jobs.cancel()
    finish(jobs)
    assert results == [True, False]


def test_a_flow_without_a_window_does_at_once_what_it_waits_for():
    def flow():
        return (yield Wait(lambda: bool(done), lambda: done.append(True), "Waiting"))

    done = []
    assert run_now(flow()) is True
    assert done == [True]


def test_a_second_flow_waits_for_the_first_and_nothing_is_nested(jobs):
    order, first_may_end = [], threading.Event()

    def flow(name):
        order.append(f"{name} begins")
        yield Work(lambda _: first_may_end.wait(20), name)
        return name

    jobs.start(flow("first"), order.append, fail)
    jobs.start(flow("second"), order.append, fail)
    assert order == ["first begins"]
    first_may_end.set()
    finish(jobs)
    assert order == ["first begins", "first", "second begins", "second"]


def test_a_callback_that_polls_again_starts_nothing_inside_itself(jobs):
    seen = []

    def flow(number):
        yield Work(lambda _: None, "Reading")
        return number

    def done(number):
        jobs.poll(1)
        seen.append(number)

    jobs.start(flow(1), done, fail)
    jobs.start(flow(2), done, fail)
    finish(jobs)
    assert seen == [1, 2]


def test_an_error_in_the_thread_reaches_the_flow_and_then_the_caller(jobs):
    caught, failed = [], []

    def refuse(_):
        raise ProjectError("The disk is full.")

    def flow():
        try:
            yield Work(refuse, "Writing")
        except ProjectError as error:
            caught.append(str(error))
            raise

    jobs.start(flow(), fail, failed.append)
    finish(jobs)
    assert caught == [str(error) for error in failed] == ["The disk is full."]


def test_stop_ends_the_work_at_its_next_report_and_has_a_time_left_until_then(jobs):
    reported = threading.Event()

    def count(report):
        for number in range(1, 100_000):
            if report(number / 100_000):
                return number
            reported.set()
            time.sleep(0.001)
        return 0

    def flow():
        return (yield Work(count, "Counting"))

    found = []
    jobs.start(flow(), found.append, fail)
    assert reported.wait(20)
    assert jobs.seconds_left > 0
    jobs.cancel()
    assert jobs.cancelling
    finish(jobs)
    assert 0 < found[0] < 100_000


def test_closing_waits_for_what_is_written_and_ends_the_flow(jobs):
    written, ended, may_end = [], [], threading.Event()

    def write(_):
        may_end.wait(20)
        written.append(True)

    def flow():
        try:
            yield Work(write, "Writing", writes=True)
        finally:
            ended.append(True)

    jobs.start(flow(), fail, fail)
    threading.Timer(0.2, may_end.set).start()
    jobs.close()
    assert written == ended == [True]
    assert not jobs.active


def test_a_flow_run_here_and_now_has_the_same_result():
    def flow():
        return (yield Work(lambda report: report(0.5), "Reading"))

    assert run_now(flow()) is False
