"""Fine-tuning a network on a project: the loop, its losses, schedule, checkpoints and diagnostics.

It may import the other wings of `engine` and torch; it knows no process and no window.  Begin with
`training.py`, then `trainer.py`.
"""
