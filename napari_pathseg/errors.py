"""What a user can fix: one message each, of three parts: what is wrong, where, what to do.

The window shows them as notifications, the command line prints them and ends with exit
code 1.  Anything else that is raised is a bug and keeps its traceback.
"""


class PathsegError(Exception):
    """Something the user can fix; its text is the whole message."""


class UnsupportedSlideError(PathsegError, OSError):
    """A file that cannot be opened as a slide: who tried to read it and why each refused."""


class AnnotationError(PathsegError, ValueError):
    """A contour or mask file that cannot be used: file, place, what was found, what is allowed."""


class ProjectError(PathsegError, ValueError):
    """A folder that is no project, is damaged, locked, or made by a newer version."""


class ConfigError(PathsegError, ValueError):
    """A setting outside its limits: its name, the value, the limits."""


class NothingToLearnError(PathsegError, ValueError):
    """A project from which nothing can be learnt: which class or role has no labelled pixel."""


class BundleError(PathsegError, ValueError):
    """A folder that is no trained model, or one of other classes, or an unsafe one."""


class OutOfMemoryError(PathsegError, MemoryError):
    """A step that does not fit into memory: what was tried, which setting to lower."""
