"""How files are written so that a crash leaves the old one or the new one, and who may write them.

Atomic replacement, hard links, concurrent reads, untrusted input and the project's lock live here;
everything that differs between operating systems does too.  It imports only `errors` and
`geometry`.  Begin with `atomic.py`.
"""
