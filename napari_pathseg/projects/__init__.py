"""The project folder: slides, classes, patients, roles, masks, versions and imports.

It may import `masks`, `contours`, `slides` and `storage`, but neither torch nor Qt.  Begin with `project.py`,
then read `manifest.py` for the content of `project.json`.
"""
