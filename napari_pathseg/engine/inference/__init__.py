"""Prediction with a trained model: boxes, whole slides of a project, and images outside any project.

It may import `engine.dataset`, `engine.networks`, torch and `projects`; neither `engine.evaluation` nor
`engine.training`.
Begin with `predict.py`.
"""
