"""Errors that a user can fix; each message has three parts: what is wrong, where, what to do.

The window shows them as notifications; the command line prints them and exits with
code 1.  Any other exception is a bug and keeps its traceback.
"""


class PathsegError(Exception):
    """An error that the user can fix; its text is the whole message."""


class UnsupportedSlideError(PathsegError, OSError):
    """A file cannot be opened as a slide; names each reader and its reason."""


class AnnotationError(PathsegError, ValueError):
    """A contour or mask file cannot be used; names the file, the place, the value and what is allowed."""


class ProjectError(PathsegError, ValueError):
    """A folder is not a project, is damaged, locked, or was written by a newer version."""


class ConfigError(PathsegError, ValueError):
    """A setting is outside its limits; gives its name, value and limits."""


class NothingToLearnError(PathsegError, ValueError):
    """A project cannot be trained on; names the class or role without labelled pixels."""


class BundleError(PathsegError, ValueError):
    """A folder is not a trained model, has other classes, or is unsafe."""


class OutOfMemoryError(PathsegError, MemoryError):
    """A step does not fit into memory; names the step and the setting to lower."""
