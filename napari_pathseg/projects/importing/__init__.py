"""Import of slides and annotation files into a project.

It may import what `projects` may.  Begin with `add_slides.py`, then `contour_import.py`.
"""
