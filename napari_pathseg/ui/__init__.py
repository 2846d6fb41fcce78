"""The window: a dock in napari, its layers, tools and panels.

The only room with napari and Qt (through qtpy); `ui/session` has no Qt, and torch is nowhere in it.  Begin with
`dock.py`, which builds the dock, and `session/session.py`, which the panels talk to.
"""
