"""The window: a dock in napari with its layers, tools and panels.

It is the only package that imports napari and Qt (through qtpy); it never imports torch.  Begin with `dock.py`, which
builds the dock, and `session/session.py`, which the panels talk to.
"""
