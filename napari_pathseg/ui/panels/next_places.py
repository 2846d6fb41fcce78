"""Next places, in Review: pictures of places that are worth annotating next, or checking, and what to do with each."""

from collections.abc import Callable
from typing import NamedTuple

from qtpy.QtCore import QRect, QSize, Qt
from qtpy.QtGui import QColor, QImage, QPainter, QPaintEvent, QPen, QPixmap
from qtpy.QtWidgets import QAbstractButton, QCheckBox, QComboBox, QGridLayout, QLabel, QSizePolicy, QWidget
from superqt.utils import signals_blocked

from napari_pathseg.engine.live.packed import unpack
from napari_pathseg.jobs.protocol import OfferedPlace
from napari_pathseg.ui.panels.train.run_button import RunButtonTexts, show_run_button
from napari_pathseg.ui.session.job_state import JobKind
from napari_pathseg.ui.session.next_places import SKIPPED, Offer
from napari_pathseg.ui.session.place_search import OFFERED, Wanted
from napari_pathseg.ui.session.session import Session
from napari_pathseg.ui.shortcuts import LayerKeys, with_key
from napari_pathseg.ui.widgets.elided_choice import ElidedChoice
from napari_pathseg.ui.widgets.fixed_lines import FixedLines
from napari_pathseg.ui.widgets.layout import MenuButton, column, push_button, row
from napari_pathseg.ui.widgets.notifications import show_errors
from napari_pathseg.ui.widgets.plain_text import PlainLabel
from napari_pathseg.ui.widgets.theme import HALF_SPACING, secondary_color, text_color

_COLUMNS = 3
_LEAST = 60  # pixels, of the side of a picture
_CAPTION_LINES = 3
_SMALLER = 0.85  # letters of a caption, relative to others
_FRAME = 3  # pixels, of the place that is looked at
_CURRENT = QColor("#00a3ff")  # as its frame on the slide
_DECIDED_OPACITY = 0.35
_BADGE = QColor(0, 0, 0, 170)
_NEXT_HELP = "Go to the next place that is open"
_AUTO_HELP = "Look for places after each training and prediction, while Review is open."
_KIND_HELP = (
    "Least sure: unlabelled tissue where your answer teaches a model most.\n"
    "Disagreements: labels that a model contradicts, to find errors; what you corrected counts as decided.\n"
    "Use them after Predict all. A model that has not learnt a slide is asked where there is one."
)
_SKIP_HELP = "Skip this place, also in later searches, and go on; undo takes it back"


class _Texts(NamedTuple):
    """What the buttons say for one kind of places."""

    find: RunButtonTexts
    accept: str
    accept_help: str
    reject: str
    reject_help: str


_UNLABELLED = _Texts(
    RunButtonTexts(
        "Find places",
        "Look on all slides for tissue that would teach a model most. It works in the background.",
        "Offer what was found so far.",
    ),
    "Accept A",
    "Accept what the model says in the frame, predicted or live, and go on; what you drew stays",
    "None here X",
    "None here: make Background of all in the frame that you have not labelled, and go on",
)
_DISAGREEMENTS = _Texts(
    RunButtonTexts(
        "Find places",
        "Look on all predicted slides for labels that a model contradicts. It works in the background.",
        "Offer what was found so far.",
    ),
    "Take A",
    "Give what is outlined in the frame the class that the model found, and go on",
    "Keep X",
    "Keep your class of what is outlined in the frame, as a correction that is not asked about again, and go on",
)


class PlaceCard(QAbstractButton):
    """A place as a picture with the slide's name and why it is offered; empty without one."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.offer: Offer | None = None
        self._picture, self._decision, self._current = QPixmap(), "", False
        self.show_offer(None, current=False)

    def show_offer(self, offer: Offer | None, *, current: bool) -> None:
        """Show a place, or none."""
        if offer is not self.offer:
            self._picture = QPixmap() if offer is None else _picture(offer)
        self.offer, self._current = offer, current
        self._decision = "" if offer is None else offer.shown_decision
        self.setEnabled(offer is not None)
        place = None if offer is None else offer.place
        text = (
            ""
            if place is None or offer is None
            else " · ".join(filter(None, (f"{place.slide}: {place.reason}", offer.size)))
        )
        learnt = "" if place is None else _evidence(place)
        self.setToolTip(f"{text}\n{learnt}{self._decision.capitalize() or 'Click to go there.'}" if text else "")
        self.setAccessibleName(text)
        self.update()

    def sizeHint(self) -> QSize:  # noqa: N802
        """Return the preferred size: a square picture above its caption."""
        return QSize(_LEAST, max(_LEAST, self._side) + self._line * _CAPTION_LINES + HALF_SPACING)

    def resizeEvent(self, event: object) -> None:  # noqa: N802
        """Keep the picture square."""
        height = self.sizeHint().height()
        if height != self.minimumHeight():
            self.setFixedHeight(height)

    def paintEvent(self, event: QPaintEvent | None) -> None:  # noqa: N802
        """Draw the picture and its caption."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        square = QRect(0, 0, self._side, self._side)
        if self.offer is None:
            painter.setPen(QPen(secondary_color(self), 1, Qt.PenStyle.DotLine))
            painter.drawRect(square.adjusted(0, 0, -1, -1))
        else:
            self._draw_picture(painter, square)
            self._draw_caption(painter, self.offer)
        painter.end()

    def _draw_picture(self, painter: QPainter, square: QRect) -> None:
        assert self.offer is not None
        painter.setOpacity(_DECIDED_OPACITY if self._decision else 1.0)
        if self._picture.isNull():
            painter.setPen(secondary_color(self))
            painter.drawText(square, Qt.AlignmentFlag.AlignCenter, "no picture")
        else:
            painter.drawPixmap(square, self._picture)
        painter.setOpacity(1.0)
        font = self.font()
        font.setPointSizeF(_SMALLER * font.pointSizeF())
        painter.setFont(font)
        place = self.offer.place
        for text, corner in (
            (
                f"{100 * place.confidence:.0f} %" if place.pair else self.offer.size,
                Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignBottom,
            ),
            (self._decision, Qt.AlignmentFlag.AlignCenter),
        ):
            if text:
                _draw_badge(painter, square, corner, text)
        if self._current:
            painter.setPen(QPen(_CURRENT, _FRAME))
            inset = _FRAME // 2
            painter.drawRect(square.adjusted(inset, inset, -inset - 1, -inset - 1))

    def _draw_caption(self, painter: QPainter, offer: Offer) -> None:
        metrics, width, top = painter.fontMetrics(), self._side, self._side + HALF_SPACING
        painter.setPen(text_color(self))
        name = metrics.elidedText(offer.place.slide, Qt.TextElideMode.ElideMiddle, width)
        painter.drawText(QRect(0, top, width, self._line), Qt.AlignmentFlag.AlignLeft, name)
        painter.setPen(secondary_color(self))
        rest = QRect(0, top + self._line, width, self._line * (_CAPTION_LINES - 1))
        if offer.place.pair:
            both = offer.place.reason.rsplit(" ", 2)[0].split(", model: ")  # the badge has how sure it is
            lines = [f"you: {both[0].removeprefix('you: ')}", f"model: {both[-1]}"]
            why = "\n".join(metrics.elidedText(line, Qt.TextElideMode.ElideRight, width) for line in lines)
        else:
            why = f"{' or '.join(offer.place.between)}?" if offer.place.between else offer.place.reason
        painter.drawText(rest, Qt.AlignmentFlag.AlignLeft | Qt.TextFlag.TextWordWrap, why)

    @property
    def _side(self) -> int:
        """The side of the picture, which is the same for cards that differ by a pixel in width."""
        return self.width() // 2 * 2

    @property
    def _line(self) -> int:
        """The height of a line of the caption."""
        return round(_SMALLER * self.fontMetrics().lineSpacing()) + 1


class NextPlacesPanel(QWidget):
    """The strip of places, the buttons that decide on the one in the frame, and those of the search.

    Attributes
    ----------
    keys
        The keys that decide, bound while a place is in the frame.
    """

    keys: LayerKeys | None = None

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session, self._places = session, session.places
        title, self.sentence = QLabel("Next places"), PlainLabel()
        font = title.font()
        font.setBold(True)
        title.setFont(font)
        FixedLines(self.sentence, 2)
        self.auto = QCheckBox("Automatic")
        self.auto.setToolTip(_AUTO_HELP)
        self.auto.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.kind = QComboBox()
        ElidedChoice(self.kind)
        self.kind.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.kind.setToolTip(_KIND_HELP)
        self.kind.setAccessibleName("Which places")
        self.kind.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self._kinds = [("Least sure", Wanted()), ("Disagreements", Wanted(disagreements=True))]
        self.search = push_button(_UNLABELLED.find.start, _UNLABELLED.find.start_help)
        self.more = MenuButton("More", [("Offer skipped places again", self.offer_skipped_again)])
        self.cards = [PlaceCard() for _ in range(OFFERED)]
        self.next = push_button("Next N", with_key(_NEXT_HELP, "next_place"))
        self.accept, self.none_here = push_button("", ""), push_button("", "")
        self.skip = push_button("Skip S", with_key(_SKIP_HELP, "skip_place"))
        self._lay_out(title)
        self._connect()
        self._show()

    def _lay_out(self, title: QLabel) -> None:
        self.strip = QWidget()
        grid = QGridLayout(self.strip)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setSpacing(HALF_SPACING)
        for number, card in enumerate(self.cards):
            grid.addWidget(card, number // _COLUMNS, number % _COLUMNS)
            grid.setColumnStretch(number % _COLUMNS, 1)
        self.decisions = QWidget()
        buttons = row(self.next, self.accept, self.none_here, self.skip)
        buttons.setSpacing(HALF_SPACING)
        column(self.decisions, buttons)
        header = row(title, self.kind)
        column(
            self, header, row(None, self.auto, self.search, self.more), self.sentence, self.strip, self.decisions
        ).setSpacing(HALF_SPACING)

    # -- actions

    def step(self, by: int) -> None:
        """Go to the next place, or with -1 to the one before, while Review is open."""
        if self._places.watched:
            self._do(lambda: self._places.step(by))

    def go_to(self, card: PlaceCard) -> None:
        """Go to the place of a card."""
        if card.offer is not None:
            offer = card.offer
            self._do(lambda: self._places.go_to(offer))

    def accept_place(self) -> None:
        """Accept what the model says in the frame."""
        self._do(self._places.accept)

    def none_in_place(self) -> None:
        """Decide against the model in the frame."""
        self._do(self._places.reject)

    def skip_place(self) -> None:
        """Skip the place in the frame."""
        self._do(self._places.skip)

    def offer_skipped_again(self) -> None:
        """Forget which places were skipped, and look for places."""
        with show_errors():
            self._places.offer_skipped_again()
            self._places.search.start()

    def look_for(self, wanted: Wanted) -> None:
        """Offer the disagreements of a pair of classes, and go to the first of them."""
        self._do(lambda: self._places.want(wanted, go_there=True))

    def _choose_kind(self, number: int) -> None:
        wanted = self.kind.itemData(number)
        self._do(lambda: self._places.want(wanted))

    def _find_or_stop(self) -> None:
        if self._places.search.running:
            self._session.training.stop()
        else:
            self._do(self._places.search.start)

    def _set_auto(self, on: bool) -> None:
        with show_errors():
            self._places.search.set_auto(on)
        self._show()

    def _do(self, action: Callable[[], None]) -> None:
        with show_errors():
            action()

    # -- display

    def _connect(self) -> None:
        self.kind.activated.connect(self._choose_kind)
        self.search.clicked.connect(self._find_or_stop)
        self.auto.clicked.connect(self._set_auto)
        for card in self.cards:
            card.clicked.connect(lambda _=False, card=card: self.go_to(card))
        self.next.clicked.connect(lambda: self.step(1))
        self.accept.clicked.connect(self.accept_place)
        self.none_here.clicked.connect(self.none_in_place)
        self.skip.clicked.connect(self.skip_place)
        self._places.changed.connect(self._show)
        self._session.training.run_changed.connect(self._show_buttons)
        self.more.choices.aboutToShow.connect(self._show_skipped)

    def _show(self) -> None:
        places = self._places
        self._show_kind()
        self.sentence.setText(places.sentence)
        shown = bool(places.offers) or places.search.running  # the place of what is awaited
        self.strip.setVisible(shown)
        self.decisions.setVisible(shown)
        offers = [*places.offers, *[None] * OFFERED]
        rows = -(-len(places.offers) // _COLUMNS)
        for number, (card, offer) in enumerate(zip(self.cards, offers, strict=False)):
            card.show_offer(offer, current=offer is not None and offer is places.current)
            card.setVisible(places.search.running or number < rows * _COLUMNS)
        if self.keys is not None:
            self.keys.set_on(places.framed)
        self._show_buttons()

    def _show_kind(self) -> None:
        """Show what is looked for: one of both kinds, or the disagreements of one pair of classes."""
        wanted, project = self._places.search.wanted, self._session.project
        kinds = list(self._kinds)
        if wanted.pair:
            labelled, found = map(str if project is None else project.classes.name_of, wanted.pair)
            kinds.append((f"{labelled}, not {found}", wanted))
        with signals_blocked(self.kind):
            if [(self.kind.itemText(at), self.kind.itemData(at)) for at in range(self.kind.count())] != kinds:
                self.kind.clear()
                for text, each in kinds:
                    self.kind.addItem(text, each)
            self.kind.setCurrentIndex([each for _, each in kinds].index(wanted))
        texts = self._texts
        self.accept.setText(texts.accept)
        self.accept.setToolTip(with_key(texts.accept_help, "accept_place"))
        self.none_here.setText(texts.reject)
        self.none_here.setToolTip(with_key(texts.reject_help, "none_in_place"))

    @property
    def _texts(self) -> _Texts:
        return _DISAGREEMENTS if self._places.search.wanted.disagreements else _UNLABELLED

    def _show_buttons(self) -> None:
        places, project = self._places, self._session.project
        has_slides = project is not None and bool(project.slides)
        show_run_button(self.search, self._session, JobKind.PLACES, self._texts.find, ready=has_slides)
        self.kind.setEnabled(has_slides and not self._session.training.busy)
        self.auto.setEnabled(project is not None and not self._session.read_only)
        self.auto.setChecked(places.search.auto)
        self.next.setEnabled(any(not offer.shown_decision for offer in places.offers))
        for button in (self.accept, self.none_here, self.skip):
            button.setEnabled(places.framed and not self._session.read_only)
        skipped = places.current is not None and places.current.shown_decision == SKIPPED
        self.skip.setText("Offer S" if skipped else "Skip S")

    def _show_skipped(self) -> None:
        """Say how many places were skipped."""
        action, number = self.more.choices.actions()[0], self._places.skipped
        action.setText(f"Offer skipped places again ({number})" if number else "No place was skipped")
        action.setEnabled(bool(number) and not self._session.read_only)


def _evidence(place: OfferedPlace) -> str:
    """Return a line that says which model contradicts a label, and whether it has learnt it; "" for other places."""
    if not place.pair:
        return ""
    return f"{place.model} has {'learnt these labels' if place.learnt else 'not learnt these labels'}.\n"


def _draw_badge(painter: QPainter, square: QRect, corner: Qt.AlignmentFlag, text: str) -> None:
    """Draw a text on a dark ground, as it lies on a picture."""
    metrics = painter.fontMetrics()
    box = QRect(0, 0, metrics.horizontalAdvance(text) + 2 * HALF_SPACING, metrics.height() + 2)
    inside = square.adjusted(_FRAME, _FRAME, -_FRAME, -_FRAME)
    if corner == Qt.AlignmentFlag.AlignCenter:
        box.moveCenter(inside.center())
    else:
        box.moveBottomRight(inside.bottomRight())
    painter.fillRect(box, _BADGE)
    painter.setPen(QColor("white"))
    painter.drawText(box, Qt.AlignmentFlag.AlignCenter, text)


def _picture(offer: Offer) -> QPixmap:
    """Return the picture of a place; null if its slide could not be read."""
    rows, columns = offer.place.sides
    if not offer.place.pixels:
        return QPixmap()
    pixels = unpack(offer.place.pixels, (rows, columns, 3))
    image = QImage(pixels.tobytes(), columns, rows, 3 * columns, QImage.Format.Format_RGB888)
    return QPixmap.fromImage(image)
