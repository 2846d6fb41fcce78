"""Scores of a model on held-out slides: pixel metrics, instance metrics, and scores during training.

It may import `engine.dataset`, `engine.inference`, torch and `projects`, but not `engine.training`.
Begin with `evaluation.py`, then `metrics.py`.
"""
