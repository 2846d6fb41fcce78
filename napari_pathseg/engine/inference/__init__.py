"""Prediction of whole slides by a trained model.

It may import `engine.dataset`, `engine.networks` and torch.  Begin with `predict.py`.
"""
