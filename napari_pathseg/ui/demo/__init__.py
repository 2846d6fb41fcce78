"""`pathseg demo`: the whole loop in a real window, driven by real mouse events.

It may import all of `ui`.  Begin with `demo.py`, then `script.py` for the script.
"""
