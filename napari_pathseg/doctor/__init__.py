"""What works on this computer and what does not: the checks of ``pathseg doctor`` and of Help ▸ Doctor.

A check is a function that takes a folder and returns a `Finding`; `examination.py` lists all of them.  What could
crash, hang or take long (torch, OpenGL, readers, a training) runs in a process of its own, see `probes.py`, so that a
broken part is named and spoils nothing else.  Importing the room costs neither torch nor Qt; it may import everything
below `ui`.  Begin with `examination.py`.
"""
