"""Masks and predictions on their way out of a project, in any format.

It may import what `projects` may.  Begin with `export.py`.
"""
