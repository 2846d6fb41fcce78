"""How files are written so that a crash leaves the old one or the new one, and who may write them.

Atomic files and folders, hard links, files of strangers, the project's lock, and all that differs between
operating systems (`portable.py`).  It imports only what every room may use.  Begin with `atomic.py`.
"""
