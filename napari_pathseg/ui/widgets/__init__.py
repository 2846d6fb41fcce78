"""Small Qt widgets that do not know the project: forms, fields, icons, theme, dialogs.

It may import Qt (through qtpy), magicgui, napari and the packages below `ui`, but nothing else of `ui`.  Begin with
`form.py`, which builds a form from a settings class.
"""
