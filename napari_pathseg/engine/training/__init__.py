"""Fine-tuning a network on a project: the loop, its losses, schedule, checkpoints and diagnostics.

It may import all other packages of `engine` but `inference`, and torch, but no job and no window.
Begin with `training.py`, which lists the stages, then `trainer.py`.
"""
