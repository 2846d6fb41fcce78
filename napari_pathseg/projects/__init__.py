"""The project folder: slides, classes, patients, roles, masks, versions and what was imported.

It may import `masks`, `contours`, `slides` and `storage`; it imports neither torch nor Qt.  Begin with
`project.py`, then `manifest.py` for what `project.json` holds.
"""
