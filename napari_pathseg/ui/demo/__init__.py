"""`pathseg demo`: from import to export in a real window, driven by real mouse events.

It may import all of `ui` and the packages below it.  Begin with `demo.py`, then `script.py` for the steps.
"""
