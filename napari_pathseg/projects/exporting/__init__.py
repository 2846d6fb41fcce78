"""Export of masks and predictions from a project, in any format.

It may import what `projects` may.  Begin with `export.py`.
"""
