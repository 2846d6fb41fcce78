"""The sections of the dock, one file or folder each.

A panel owns no state: it shows `ui.session` and calls it.  It may import all of `ui` except `dock.py` and `demo`.
Begin with `header.py`.
"""
