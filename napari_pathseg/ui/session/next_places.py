"""The places that are offered: where they are, which one is looked at, and what was decided there.

`place_search` finds them, `place_answers` says what a decision does.  Of what a person decides, the mask holds the
edits, and the project the places that were skipped; undo takes back either.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from psygnal import Signal

from napari_pathseg.contours.contour import Points
from napari_pathseg.contours.vectorize import vectorize
from napari_pathseg.errors import ProjectError
from napari_pathseg.geometry import EMPTY_REGION, Region
from napari_pathseg.jobs.protocol import OfferedPlace
from napari_pathseg.masks import Mask, Provenance
from napari_pathseg.masks.provenance import Counts
from napari_pathseg.projects.project import Project
from napari_pathseg.projects.skipped_places import load_skipped, offer_again, offer_all_again, skip_place
from napari_pathseg.ui.session.formatting import format_area
from napari_pathseg.ui.session.live_controller import LiveController
from napari_pathseg.ui.session.mask_editor import MaskEditor
from napari_pathseg.ui.session.place_answers import (
    ContradictionAnswers,
    UnlabelledAnswers,
    box_on_mask,
    require_change,
)
from napari_pathseg.ui.session.place_frame import PlaceFrame
from napari_pathseg.ui.session.place_search import OFFERED, PlaceSearch, Wanted
from napari_pathseg.ui.session.training_controller import TrainingController
from napari_pathseg.ui.session.undo_order import UndoStep
from napari_pathseg.ui.session.workspace import Workspace

SKIPPED = "skipped"
_DONE = {"none here": "made Background"}  # what was done to a place, where that is no word of its decision
_NO_PLACE = "No place is framed. Press N to go to the next one, or Find places in Review."
_MOST_UNDONE = 24  # decisions that undo takes back after other places were found
_ALL_DECIDED = "All of these are decided. Press Find places for others."
_MOST_RINGS = 40  # lines that are drawn in a frame, the longest ones


@dataclass(eq=False)
class Offer:
    """A place that is offered, and what was decided there.

    Attributes
    ----------
    decision
        `SKIPPED`, or what `place_answers` calls it; empty while it is open.
    """

    place: OfferedPlace
    decision: str = ""
    _before: int = 0  # settled pixels of its box, before that and after
    _after: int = 0
    _undone: bool = False

    @property
    def size(self) -> str:
        """Its size as text; of a contradiction the area that is asked about, if the pixel size is known."""
        region, area = self.place.region, self.place.area_mm2
        if area is None and self.place.pair:
            return ""
        return format_area(region.height * region.width, None) if area is None else format_area(1e6 * area, 1.0)

    @property
    def undone(self) -> bool:
        """Whether an undo has taken the decision back, so that a redo may bring it back."""
        return self._undone

    @property
    def shown_decision(self) -> str:
        """What was decided; empty while it is open, or again after an undo."""
        return "" if self._undone else self.decision

    @property
    def changed_mask(self) -> bool:
        """Whether the decision settled pixels of the mask."""
        return self._after > self._before

    def decide(self, decision: str, before: int = 0, after: int = 0) -> None:
        """Note a decision, and the settled pixels of its box before that and after."""
        self.decision, self._before, self._after, self._undone = decision, before, after, False

    def follow(self, settled: int) -> None:
        """Note the settled pixels of its box now: an undo or a redo may have changed them."""
        if self.changed_mask:
            self._undone = settled <= self._before


class NextPlaces:
    """Offers places; `changed` is emitted when they, the one that is looked at, or the search change.

    Attributes
    ----------
    decided
        Emitted with each decision, which can be undone.
    search
        What finds them.
    offers
        The places, the best to look at first.
    current
        The one that is looked at.
    watched
        Whether the user sees them; only then they are looked for unasked, and have keys and a frame.
    """

    changed = Signal()
    decided = Signal(UndoStep)

    def __init__(
        self,
        workspace: Workspace,
        editor: MaskEditor,
        training: TrainingController,
        live: LiveController,
        show_slide: Callable[[str], None],
    ) -> None:
        self._workspace, self._editor, self._show_slide = workspace, editor, show_slide
        self._unlabelled = UnlabelledAnswers(workspace, editor, live)
        self._contradictions = ContradictionAnswers(workspace, editor)
        self.search = PlaceSearch(workspace, training, live)
        self.watched = False
        self._frame = PlaceFrame(workspace)
        self._project: Project | None = None
        self._reset()
        workspace.project_changed.connect(self._on_project)
        workspace.slide_changed.connect(self._notify)
        workspace.mask_changed.connect(self._on_mask)
        self.search.found.connect(self._take)
        self.search.changed.connect(self._notify)

    def _reset(self) -> None:
        self._others: dict[bool, list[Offer]] = {}  # of the other kind, by whether they are disagreements
        self._goes_there = False  # to the first that is found
        self.offers: list[Offer] = []
        self.current: Offer | None = None
        self._decided: list[Offer] = []  # what undo takes back, the last one last
        self._arrived: tuple[Mask, Counts] | None = None  # the mask as it was when the last decision was over
        self._labelled_before: tuple[Mask | None, int] = None, 0  # the mask in view, and its pixels of a person
        self._frame.frame("", EMPTY_REGION)

    # -- what the window shows

    @property
    def framed(self) -> bool:
        """Whether a place is looked at, so that a key decides on it."""
        record = self._workspace.slide
        return (
            self.watched and self.current is not None and record is not None and self.current.place.slide == record.id
        )

    @property
    def can_undo(self) -> bool:
        """Whether a decision can be taken back, unless something else is done first."""
        return self.watched and any(not offer.undone for offer in self._decided)

    @property
    def sentence(self) -> str:
        """What it does, or which place is looked at and why."""
        if said := self.search.sentence(offered=bool(self.offers)):
            return said
        if self.current is None:
            some = f"{len(self.offers)} places. Press N to go to the first." if self.left else _ALL_DECIDED
            return f"{some} {self.search.note}".strip()
        number, place = self.offers.index(self.current) + 1, self.current.place
        parts = f"{number} of {len(self.offers)}", place.slide, place.reason, self.current.size
        return " · ".join(filter(None, parts))

    @property
    def left(self) -> int:
        """The number of places that are not decided on."""
        return sum(not offer.shown_decision for offer in self.offers)

    @property
    def skipped(self) -> int:
        """The number of places, of the kind that is looked for, that were skipped; 0 if that cannot be read."""
        try:
            return 0 if self._project is None else sum(map(len, load_skipped(self._project, self._file).values()))
        except ProjectError:  # the search says so
            return 0

    @property
    def _file(self) -> str:
        """Where the project remembers the skipped places of the kind that is looked for."""
        return (self._contradictions if self.search.wanted.disagreements else self._unlabelled).skipped_file

    # -- actions

    def want(self, wanted: Wanted, *, go_there: bool = False) -> None:
        """Offer other places: those of a pair of classes are looked for at once, others unless some were found before.

        With `go_there` the first of them is shown once it is found.

        Raises
        ------
        PathsegError
            If another job runs, and `go_there` is set.
        """
        before = self.search.wanted
        if wanted != before:
            self._others[before.disagreements] = [] if before.pair else self.offers
            self.offers = [] if wanted.pair else self._others.pop(wanted.disagreements, [])
            self.current = None
            self.search.want(wanted)
            self._show_frame()
        self._goes_there = go_there
        if go_there:
            self.search.start()
        elif not self.offers:
            self.search.start_unasked()
        self.changed.emit()

    def set_watched(self, watched: bool) -> None:
        """Note whether the user sees the places."""
        self.watched = watched
        self._show_frame()
        self.search.set_watched(watched)
        self.changed.emit()

    def step(self, by: int) -> None:
        """Go to the next place that is open, or with -1 to the one before, decided or not.

        Raises
        ------
        ProjectError
            If none is offered, or the slide cannot be shown.
        """
        if not self.offers:
            raise ProjectError("No place is offered yet. Press Find places in Review.")
        start = -1 if self.current is None else self.offers.index(self.current)
        if by < 0:
            self.go_to(self.offers[max(0, start) - 1])
        elif (offer := self._next_open(start)) is not None:
            self.go_to(offer)
        else:
            raise ProjectError(_ALL_DECIDED)

    def go_to(self, offer: Offer) -> None:
        """Show the slide of a place, with a frame around the place, as large as it can be judged."""
        untouched = self._untouched
        slide = offer.place.slide
        if self._workspace.slide is None or self._workspace.slide.id != slide:
            self._show_slide(slide)
        record = self._workspace.slide
        if record is None or record.id != slide:  # an operation on the mask comes first, which is said
            return
        self.current = offer
        self._workspace.layers.look_at(offer.place.region, record.mpp)
        self._show_frame()
        if untouched:
            self._note_mask()
        self.changed.emit()

    def accept(self) -> None:
        """Take what the model says in the frame, then go on.

        Raises
        ------
        ProjectError
            If no place is framed, no model has answered there, or the mask cannot be changed.
        """
        offer = self._require_framed()
        if offer is not None:
            answers = self._answers(offer)
            self._edit(offer, answers.accepted, lambda: answers.accept(offer.place))

    def reject(self) -> None:
        """Decide against the model in the frame: Background if it is unlabelled, else what is labelled is kept.

        Then go on; raises as :meth:`accept` does.
        """
        offer = self._require_framed()
        if offer is not None:
            answers = self._answers(offer)
            self._edit(offer, answers.rejected, lambda: answers.reject(offer.place))

    def skip(self) -> None:
        """Skip the place in the frame, so that it is not offered again, then go on; one that was skipped is open again.

        Raises
        ------
        ProjectError
            If no place is framed, or the project cannot be changed.
        """
        offer = self._require_framed()
        if offer is None:
            return
        project, place = self._workspace.require_project(), offer.place
        self._workspace.require_writable()
        if offer.shown_decision == SKIPPED:
            offer_again(project, place.slide, place.region, self._answers(offer).skipped_file)
            self._decided = [each for each in self._decided if each is not offer]
            offer.decide("")
            self.changed.emit()
            return
        skip_place(project, place.slide, place.region, self._answers(offer).skipped_file)
        self._go_on(offer, SKIPPED)

    def undo(self) -> bool:
        """Take back the last decision and return to its place; return False if something else was done since."""
        if not (self.can_undo and self._untouched):
            return False
        offer = self._last_decided
        if bool(offer.place.pair) != self.search.wanted.disagreements:  # other places are shown since
            self.want(Wanted(disagreements=bool(offer.place.pair)))
        if offer not in self.offers:  # a search has found others since
            self.offers = [offer, *self.offers][:OFFERED]
        self.go_to(offer)
        layer = self._workspace.layers.mask
        if self.current is not offer or layer is None:
            return False
        self._decided.remove(offer)
        if offer.decision == SKIPPED:
            self._offer_again(offer)
        elif offer.changed_mask:
            layer.undo()
            self._editor.apply_pending()
        offer.decide("")
        self._workspace.mask_changed.emit()
        self._note_mask()
        self.changed.emit()
        return True

    def offer_skipped_again(self) -> None:
        """Forget all places that were skipped, so that the next search finds them."""
        self._workspace.require_writable()
        offer_all_again(self._workspace.require_project(), self._file)
        self.changed.emit()

    # -- deciding

    def _require_framed(self) -> Offer | None:
        """Return the place to decide on; None if it was out of sight, in which case it is shown first."""
        offer = self.current
        if offer is None or not self.framed:
            raise ProjectError(_NO_PLACE)
        box, view = box_on_mask(self._workspace, offer.place), self._workspace.layers.visible_region()
        row, column = box.top + box.height // 2, box.left + box.width // 2
        if view.intersect(Region(row, column, 1, 1)).empty:
            self.go_to(offer)
            return None
        return offer

    def _edit(self, offer: Offer, decision: str, edit: Callable[[], None]) -> None:
        """Edit the mask, which is one undo step, and go on."""
        self._editor.finish_soon("then decide on this place")
        answers = self._answers(offer)
        before = answers.settled(offer.place)
        edit()
        self._editor.apply_pending()
        after = answers.settled(offer.place)
        require_change(before, after, box_on_mask(self._workspace, offer.place))
        if offer.shown_decision == SKIPPED:
            self._offer_again(offer)
        self._go_on(offer, decision, before, after)

    def _go_on(self, offer: Offer, decision: str, before: int = 0, after: int = 0) -> None:
        """Note a decision and go to the next place that is open; after the last one look for others."""
        offer.decide(decision, before, after)
        self._decided = [*(each for each in self._decided if each is not offer), offer][-_MOST_UNDONE:]
        self._workspace.mask_changed.emit()
        self._note_mask()
        what = f"a place on {offer.place.slide} was {_DONE.get(decision, decision)}"
        self.decided.emit(UndoStep(what=what, undo=self.undo, can_undo=lambda: self._is_last(offer)))
        following = self._next_open(self.offers.index(offer))
        if following is not None:
            self.go_to(following)
            return
        self.current = None
        self._show_frame()
        self.search.start_unasked()
        self.changed.emit()

    def _next_open(self, after: int) -> Offer | None:
        """Return the first open place after a number, from the beginning if all behind it are decided."""
        offers = [*self.offers[after + 1 :], *self.offers[: after + 1]]
        return next((offer for offer in offers if not offer.shown_decision), None)

    def _answers(self, offer: Offer) -> UnlabelledAnswers | ContradictionAnswers:
        return self._contradictions if offer.place.pair else self._unlabelled

    def _offer_again(self, offer: Offer) -> None:
        place, file = offer.place, self._answers(offer).skipped_file
        offer_again(self._workspace.require_project(), place.slide, place.region, file)

    def _is_last(self, offer: Offer) -> bool:
        """Return whether a decision is the last one, and nothing else was done since."""
        return self.can_undo and self._untouched and self._last_decided is offer

    @property
    def _last_decided(self) -> Offer:
        return next(each for each in reversed(self._decided) if not each.undone)

    @property
    def _untouched(self) -> bool:
        """Whether nothing has changed the mask in view since the last decision."""
        mask = self._workspace.mask
        if mask is None or self._arrived is None or self._arrived[0] is not mask or mask.has_pending:
            return False
        return bool((self._arrived[1] == mask.committed_counts).all())

    def _note_mask(self) -> None:
        mask = self._workspace.mask
        self._arrived = None if mask is None or mask.has_pending else (mask, mask.committed_counts.copy())

    def _show_frame(self) -> None:
        offer, record = self.current, self._workspace.slide
        if not self.watched or offer is None:
            self._frame.frame("", EMPTY_REGION)
            return
        place, rings = offer.place, list[Points]()
        asked = self._answers(offer).outlined(place) if record is not None and record.id == place.slide else None
        if asked is not None and record is not None and not offer.shown_decision:
            box = box_on_mask(self._workspace, place)
            for contour in vectorize(asked.astype(np.uint8), 1, record.downsample, (box.top, box.left)):
                rings += contour.rings
        self._frame.frame(place.slide, place.region, sorted(rings, key=len)[-_MOST_RINGS:])

    # -- changes elsewhere

    def _on_project(self) -> None:
        project = self._workspace.project
        if project is not self._project:
            self._project = project
            self._reset()
        elif project is not None:
            self.offers = [offer for offer in self.offers if _is_there(project, offer.place)]
            self._decided = [offer for offer in self._decided if _is_there(project, offer.place)]
            if self.current is not None and self.current not in self.offers:
                self.current = None
                self._show_frame()
        self.changed.emit()

    def _notify(self) -> None:
        self.changed.emit()

    def _on_mask(self) -> None:
        """Note which decisions an undo has taken back.

        Of unlabelled places it takes pixels of a person away, which painting does not; others are looked at each time.
        """
        record, mask = self._workspace.slide, self._workspace.mask
        if record is None or mask is None:
            return
        if self.framed and self.current is not None and self.current.place.pair:
            self._show_frame()  # painting may have settled some of what is outlined
        (known, before), now = self._labelled_before, int(mask.committed_counts[:, Provenance.ACCEPTED :].sum())
        self._labelled_before = mask, now
        offers = dict.fromkeys((*self.offers, *self._decided))
        watched = any(offer.undone or (offer.place.pair and offer.changed_mask) for offer in offers)
        if known is mask and now >= before and not watched:
            return
        shown = [offer.shown_decision for offer in self.offers]
        for offer in offers:
            if offer.place.slide == record.id and offer.changed_mask:
                offer.follow(self._answers(offer).settled(offer.place))
        if shown != [offer.shown_decision for offer in self.offers]:
            self.changed.emit()

    def _take(self, places: list[OfferedPlace]) -> None:
        """Offer the places that were found, behind the one that is looked at."""
        kept = [] if self.current is None or self.current.shown_decision else [self.current]
        new = [place for place in places if not any(_overlap(place, offer.place) for offer in kept)]
        self.offers = [*kept, *map(Offer, new)][:OFFERED]
        self.current = kept[0] if kept else None
        self._show_frame()
        self.changed.emit()
        goes_there, self._goes_there = self._goes_there, False  # a later search, unasked, leaves the view alone
        if goes_there and self.offers:
            self.go_to(self.offers[0])


def _is_there(project: Project, place: OfferedPlace) -> bool:
    """Return whether the slide of a place is still there and, for unlabelled tissue, not complete."""
    record = project.slides.get(place.slide)
    return record is not None and (bool(place.pair) or not record.complete)


def _overlap(one: OfferedPlace, other: OfferedPlace) -> bool:
    return one.slide == other.slide and not one.region.intersect(other.region).empty
