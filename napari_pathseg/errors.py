"""Errors that a user can fix; each message has three parts: what is wrong, where, what to do.

The window shows them as notifications, the command line prints them and ends with exit
code 1.  Anything else that is raised is a bug and keeps its traceback.
"""


class PathsegError(Exception):
    """Something the user can fix; its text is the whole message."""


class UnsupportedSlideError(PathsegError, OSError):
    """A file that cannot be opened as a slide: each reader and its reason."""


class AnnotationError(PathsegError, ValueError):
    """A contour or mask file that cannot be used: file, place, what was found, what is allowed."""


class ProjectError(PathsegError, ValueError):
    """A folder that is not a project, is damaged, locked, or made by a newer version."""


class ConfigError(PathsegError, ValueError):
    """A setting outside its limits: its name, the value, the limits."""


class NothingToLearnError(PathsegError, ValueError):
    """A project that cannot be trained on: which class or role has no labelled pixel."""


class BundleError(PathsegError, ValueError):
    """A folder that is not a trained model, has other classes, or is unsafe."""


class OutOfMemoryError(PathsegError, MemoryError):
    """A step that does not fit into memory: the attempt, and the setting to lower."""
