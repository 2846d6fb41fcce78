"""Engine jobs as processes: the worker beside the window, run logs, tuning.

It may import `engine` and what lies below, never `ui`.  Begin with `worker.py`.
"""
