"""A real worker process for tests, used as the window does."""

import subprocess
import sys

from napari_pathseg.config import TrainConfig
from napari_pathseg.jobs.protocol import JobFailed, parse_event, to_line

TINY = TrainConfig(tile=64, batch=2, decoder_seconds=2, cached_tiles=8, weights="none", steps=12, minutes=2)


class Child:
    """A real worker process, used as the window does."""

    def __init__(self):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "napari_pathseg.jobs.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def send(self, command):
        self.send_line(to_line(command))

    def send_line(self, line):
        self.send_bytes(line.encode() + b"\n")

    def send_bytes(self, content):
        self.process.stdin.buffer.write(content)
        self.process.stdin.buffer.flush()

    def events_until(self, kind):
        events = []
        for line in self.process.stdout:
            events.append(parse_event(line))
            if isinstance(events[-1], kind):
                return events
            assert not isinstance(events[-1], JobFailed), events[-1].text
        raise AssertionError(f"the worker ended: {self.process.stderr.read()}")
