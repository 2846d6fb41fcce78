"""Files on disk: atomic writes that survive a crash, and one writer at a time.

It holds atomic files and folders, hard links, decoding of untrusted files, the project's lock, what this process may
use of the computer (`machine.py`), and all that differs between operating systems (`portable.py`).  It imports only
what every package may use.  Begin with `atomic.py`.
"""
