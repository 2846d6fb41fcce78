"""Scores of a model on held-out slides: per class, per slide and pooled.

It may import `engine.dataset`, `engine.inference` and torch.  Begin with `evaluation.py`, then `metrics.py`.
"""
