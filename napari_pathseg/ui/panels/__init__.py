"""The sections of the dock, one folder or file each.

A panel owns no state: it shows `ui.session` and calls it.  Begin with `header.py`.
"""
