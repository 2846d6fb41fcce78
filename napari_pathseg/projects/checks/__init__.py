"""Checks of a project before training: problems, each with its fix.

It may import what `projects` may.  Begin with `checks.py`, which runs them all; each other module is one check.
"""
