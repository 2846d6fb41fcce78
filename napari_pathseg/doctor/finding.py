"""What a check of the installation has found."""

from dataclasses import dataclass
from typing import Literal, Self

State = Literal["ok", "warning", "fault"]


@dataclass(frozen=True)
class Finding:
    """The result of a check.

    Attributes
    ----------
    state
        "ok"; "warning" if all works, but slowly, or not for every file; "fault" if something does not work.
    what
        What was found, a sentence or two.
    remedy
        What to do about it; empty if there is nothing to do.
    name
        Of the check; `examine` fills it in.
    """

    state: State
    what: str
    remedy: str = ""
    name: str = ""

    @classmethod
    def ok(cls, what: str) -> Self:
        """Return a finding that needs no attention."""
        return cls("ok", what)

    @classmethod
    def warning(cls, what: str, remedy: str) -> Self:
        """Return what works, but could do better."""
        return cls("warning", what, remedy)

    @classmethod
    def fault(cls, what: str, remedy: str) -> Self:
        """Return what does not work."""
        return cls("fault", what, remedy)
