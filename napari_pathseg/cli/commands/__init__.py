"""The commands of `pathseg`, one module a subject.

``add_commands(parsers)`` of a module adds its commands with their arguments; a command takes the parsed arguments and
returns the answer that ``--json`` prints.  A module may import everything but torch and Qt, slow packages inside the
functions that need them.  Begin with `project.py`; what commands share is one level up, in `arguments.py`.
"""
