"""Which slides of a list are shown.

A search is words that must all occur in a row; a filter is a set of states, roles and patients.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from napari_pathseg.ui.session.queries import SlideRow


@dataclass(frozen=True)
class SlideFilter:
    """A search and a filter of a list of slides.

    Attributes
    ----------
    text
        Words, each of which must occur in the name, patient, state or role of a slide.
    states, roles, patients
        Those that are shown; all if empty.
    """

    text: str = ""
    states: frozenset[str] = frozenset()
    roles: frozenset[str] = frozenset()
    patients: frozenset[str] = frozenset()

    def matches(self, row: SlideRow, role_words: Mapping[str, str]) -> bool:
        """Return whether a row is shown; `role_words` are the roles as the list writes them."""
        chosen = ((self.states, row.state), (self.roles, row.role), (self.patients, row.patient))
        if any(wanted and value not in wanted for wanted, value in chosen):
            return False
        searched = " ".join((row.id, row.patient, row.state, role_words[row.role])).casefold()
        return all(word in searched for word in self.text.casefold().split())
