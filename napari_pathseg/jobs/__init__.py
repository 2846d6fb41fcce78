"""Engine jobs for processes: the worker and its protocol, run logs, and tuning.

It may import `engine` and what lies below, never `ui`.
Begin with `worker.py`, or with `protocol.py` for the commands and events.
"""
