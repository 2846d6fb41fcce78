"""The worker process as the session's parts use it."""

from typing import Any, Protocol

from napari_pathseg.engine.events import Command


class Worker(Protocol):
    """It emits `event` with each event of the process, and `died` with the end of its error stream."""

    event: Any
    died: Any

    def start(self) -> None:
        """Start the process unless it is running."""

    def send(self, command: Command) -> None:
        """Send a command to the process."""
