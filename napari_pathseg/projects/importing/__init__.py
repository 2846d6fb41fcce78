"""Slides and annotation files on their way into a project.

It may import what `projects` may.  Begin with `add_slides.py`, then `contour_import.py`.
"""
