"""Small Qt widgets that know nothing of a project: forms, fields, icons, theme, dialogs.

It may import Qt (through qtpy) and napari.  Begin with `form.py`, which builds a form from a settings class.
"""
