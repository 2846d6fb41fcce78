"""What would go wrong in a training, and how to fix it.

It may import what `projects` may.  Begin with `checks.py`, which runs them all; each other module is one check.
"""
