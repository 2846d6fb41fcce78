"""The layers of the slide in view: image, contours, mask, probability, live, and on a complete slide a comparison.

They are identified by their metadata and never by their name; showing another slide swaps their data.
Outlines that are not filled yet are kept for each slide.  The user's own layers are left alone.
"""

import contextlib
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from napari.components import ViewerModel
from napari.components.overlays import BrushCircleOverlay
from napari.layers import Image, Labels, Layer, Shapes
from napari.utils import Colormap
from psygnal import Signal

from napari_pathseg.classes import ClassTable
from napari_pathseg.geometry import Region, grid_shape, grid_to_level0, layout
from napari_pathseg.masks import Mask
from napari_pathseg.masks.comparison import Opinion
from napari_pathseg.masks.prediction import DISAGREEMENT
from napari_pathseg.projects.slide_record import SlideRecord
from napari_pathseg.slides.level_array import level_arrays
from napari_pathseg.slides.slide import Slide
from napari_pathseg.ui.layers.comparison_layer import ComparisonLayer
from napari_pathseg.ui.layers.foreign_images import foreign_images, hides, move_below
from napari_pathseg.ui.layers.live_layer import LiveLayer
from napari_pathseg.ui.layers.live_tiles import LiveTiles
from napari_pathseg.ui.layers.mask_layer import MaskLayer, can_paint_pyramids, make_mask_layer
from napari_pathseg.ui.layers.metadata import METADATA_KEY
from napari_pathseg.ui.layers.plain_mask_layer import PlainMaskLayer
from napari_pathseg.ui.layers.prediction_layer import PredictionLayer
from napari_pathseg.ui.layers.prediction_tiles import PredictionTiles
from napari_pathseg.ui.layers.refined_layer import RefinedBox, RefinedLayer
from napari_pathseg.ui.layers.versions_layer import TwoVersions, VersionsLayer

_ORDER = ("image", "probability", "mask", "contours")  # bottom to top
_PROBABILITY_COLORS = Colormap(
    [[1, 0.82, 0, 0], [1, 0.82, 0, 1]], name="likely"
)  # transparent to yellow, which shows on a bright slide
_FILLS = 0.7  # of the shorter side of the canvas, by a region that is looked at
_MAX_PROBABILITY_SIDE = 8192  # pixels of a side
_TILE_SIDE = 1024
_NO_OUTLINES: list[npt.NDArray[np.float64]] = []
DrawnShape = tuple[npt.NDArray[np.float64], str]  # vertices and napari's shape type


def preload() -> None:
    """Import what napari loads with its first layers, for over a second; a thread does so before the first slide.

    Making the first layers imports pandas and numba and sets up pint's units; none of them is in a viewer.
    """
    units = layer_transform(1.0, 1)
    Labels(np.zeros((2, 2), np.uint8), **units)
    Shapes(ndim=2, **units)


def layer_transform(mpp: float | None, downsample: int) -> dict[str, Any]:
    """Return scale, translate and units of a layer on a grid `downsample` times coarser than level 0.

    Grid pixel 0 covers level-0 pixels 0 to d-1, so its centre lies half a grid pixel less half
    a level-0 pixel from the origin.
    """
    step = 1.0 if mpp is None else mpp
    unit = "pixel" if mpp is None else "um"
    return {
        "scale": (step * downsample,) * 2,
        "translate": (grid_to_level0(0, downsample) * step,) * 2,
        "units": (unit, unit),
    }


def probability_downsample(record: SlideRecord) -> int:
    """Return mask pixels per pixel of the probability layer, which is a single array in memory."""
    return -(-max(record.mask_shape) // _MAX_PROBABILITY_SIDE)


class SlideLayers:
    """The layers of one viewer that belong to a project.

    Signals: `clearing` (they are about to be removed: layers shown beside them are removed first, by their owners).
    """

    clearing = Signal()

    def __init__(self, viewer: ViewerModel) -> None:
        self.viewer = viewer
        self.record: SlideRecord | None = None
        self.image: Image | None = None
        self.contours: Shapes | None = None
        self.mask: MaskLayer | PlainMaskLayer | None = None
        self.probability: Image | None = None
        self.comparison: ComparisonLayer | None = None  # created for the first complete slide that a model predicted
        self.live: LiveLayer | None = None  # created once the live model has found something
        self.prediction: PredictionLayer | None = None  # while the user looks at what a model stored
        self.refined: RefinedLayer | None = None  # the outline of it
        self.versions: VersionsLayer | None = None  # two models, while the user looks at both
        self.overlays: dict[str, Shapes] = {}  # by role, created on demand; see `ui.session.shapes_overlay`
        self._unfilled: dict[str, list[DrawnShape]] = {}  # by slide, of the slides that are not in view
        viewer.layers.events.inserted.connect(self._lower_foreign, position="last")
        _clear_brush(viewer)

    def show(self, record: SlideRecord, slide: Slide, mask: Mask, classes: ClassTable) -> None:
        """Show a slide with its mask in the layers of the previous slide."""
        first, another = self.record is None, self.record is None or self.record.id != record.id
        if self.record is not None and self._in_viewer(self.contours):
            self._unfilled[self.record.id] = drawn_shapes(self.contours)
        self.record = record
        for layer in self._own():
            if layer is not None:  # all at once: a redraw in between would warn of mixed units
                layer.units = layer_transform(record.mpp, 1)["units"]
        self._show_image(record, slide)
        if another and self.image is not None:  # what the user opened must not hide the slide
            move_below(self.viewer, [one for one in foreign_images(self.viewer) if hides(one)], self.image)
        self._show_probability(record)
        self._show_mask(record, mask, classes)
        self._show_contours(record)
        assert self.mask is not None
        assert self.probability is not None
        if self.probability.visible:  # it is empty; last, because this redraws and all units must be equal by then
            self.probability.visible = False
        if not first or all(layer in self._own() for layer in self.viewer.layers):
            self.viewer.reset_view()
        self.viewer.canvas.overlays.scale_bar.visible = record.mpp is not None
        self.viewer.layers.selection.active = self.mask

    def clear(self) -> None:
        """Remove the layers."""
        self.clearing.emit()
        layers = self.viewer.layers
        # each removal outside a batch collects all garbage and rebuilds the scene; older napari has no batches
        with getattr(layers, "batched_update", contextlib.nullcontext)():
            for layer in self._own():
                if layer is not None and layer in layers:
                    layers.remove(layer)
        self.image = self.contours = self.mask = self.probability = self.comparison = self.live = None
        self.prediction = self.refined = self.versions = None
        self.record = None
        self.overlays.clear()
        self._unfilled.clear()

    @property
    def lowest_above_image(self) -> Layer:
        """The lowest of the layers that must be seen on the slide's image."""
        layers = self.viewer.layers
        shown = [layer for layer in self._own() if layer is not None and layer in layers and layer is not self.image]
        return min(shown, key=layers.index)

    def visible_region(self) -> Region:
        """Return the region of the mask's grid on screen, or the whole mask if that is unknown."""
        assert self.mask is not None
        return self.mask.visible_region

    def look_at(self, region: Region, mpp: float | None) -> None:
        """Move and zoom to a box of the slide in level-0 pixels, as large as it can be judged."""
        pixel = float(layer_transform(mpp, 1)["scale"][0])
        self.viewer.scene.camera.center = (
            pixel * (region.top + (region.height - 1) / 2),
            pixel * (region.left + (region.width - 1) / 2),
        )
        side = pixel * max(region.height, region.width)
        self.viewer.scene.camera.zoom = _FILLS * float(np.min(self.viewer.canvas.size)) / side

    def drawn_outlines(self) -> list[npt.NDArray[np.float64]]:
        """Return the closed outlines on the contours layer, ``(row, column)`` in level-0 pixels."""
        if self.contours is None:
            return []
        shapes = zip(self.contours.data, self.contours.shape_type, strict=True)
        return [shape_outline(np.asarray(points), kind) for points, kind in shapes if kind not in ("line", "path")]

    def clear_outlines(self) -> None:
        """Clear the contours layer."""
        if self.contours is not None:
            self.contours.data = _NO_OUTLINES

    def show_probability(
        self, region: Region, read: Callable[[Region], npt.NDArray[np.uint8]], *, visible: bool, refresh: bool = True
    ) -> None:
        """Show the target class's probability in a region of the mask's grid; `read` returns 0 to 255 for a part.

        Without `refresh` it is drawn with the next region, since each time the whole layer is.
        """
        if self.probability is None or self.record is None:
            return
        step = probability_downsample(self.record)
        for piece in layout(region, _TILE_SIDE * step):
            rows, columns = (slice(-start % step, None, step) for start in piece[:2])
            values = read(piece)[rows, columns]
            top, left = -(-piece.top // step), -(-piece.left // step)
            self.probability.data[top : top + values.shape[0], left : left + values.shape[1]] = values
        self.probability.visible = self.probability.visible or visible
        if refresh:
            self.probability.refresh()

    def show_comparison(self, opinion: Opinion | None) -> None:
        """Show where a model's opinion of a complete slide differs from the mask; without one, show nothing."""
        record, layer = self.record, self.comparison if self._in_viewer(self.comparison) else None
        if record is None or self.mask is None or not can_paint_pyramids() or (layer is None and opinion is None):
            return
        settings = {"name": f"{record.id} · comparison", **layer_transform(record.mpp, record.downsample)}
        if layer is None:
            layer = self.comparison = ComparisonLayer(self.mask.mask, opinion, **settings)
            layer.metadata = _metadata(record, "comparison")
            self._insert_beside(layer, self.viewer.layers.index(self.mask) + 1)
        else:
            layer.compare(self.mask.mask, opinion)
            _set_properties(layer, record, "comparison", settings)
        layer.visible = opinion is not None

    def update_comparison(self) -> None:
        """Compare again after the mask changed."""
        if self.comparison is not None and self._in_viewer(self.comparison):
            self.comparison.redraw()

    def show_live(self, tiles: LiveTiles) -> None:
        """Show what the live model finds between the slide and the mask, from now on; not if the user removed that."""
        if self.live is not None or self.record is None or not isinstance(self.mask, MaskLayer):
            return
        self.live = LiveLayer(self.mask.mask, tiles, **_live_settings(self.record))
        self.live.metadata = _metadata(self.record, "live")
        self.mask.events.colormap.connect(self._color_live)
        self.mask.changed.connect(self.live.mark)
        self._color_live()
        self._insert_beside(self.live, self.viewer.layers.index(self.mask))

    def show_prediction(self, tiles: PredictionTiles | None) -> None:
        """Show what a model stored for the slide in view between slide and mask; None to remove it."""
        layer = self.prediction if self._in_viewer(self.prediction) else None
        if tiles is None or self.record is None or self.mask is None or not can_paint_pyramids():
            self.prediction = None
            if layer is not None:
                self.viewer.layers.remove(layer)
            return
        other = {None: "uncertainty", DISAGREEMENT: "disagreement"}.get(tiles.label)
        what = other or f"{self.mask.classes.name_of(tiles.label or 0)} probability"
        settings = {
            "name": f"{self.record.id} · {what}",
            **layer_transform(self.record.mpp, self.record.downsample),
        }
        if layer is None:
            layer = self.prediction = PredictionLayer(tiles, **settings)
            layer.metadata = _metadata(self.record, "prediction")
            self._insert_beside(layer, self.viewer.layers.index(self.mask))
        else:
            layer.show(tiles)
            _set_properties(layer, self.record, "prediction", settings)

    def show_refined(self, box: RefinedBox | None) -> None:
        """Show the outline that a class of a prediction would get above the mask; None to remove it."""
        layer = self.refined if self._in_viewer(self.refined) else None
        if box is None or self.record is None or self.mask is None:
            self.refined = None
            if layer is not None:
                self.viewer.layers.remove(layer)
            return
        grid = layer_transform(self.record.mpp, self.record.downsample)
        if layer is None:
            layer = self.refined = RefinedLayer(box, self.mask.classes, grid, name=f"{self.record.id} · outline")
            layer.metadata = _metadata(self.record, "refined")
            self._insert_beside(layer, self.viewer.layers.index(self.mask) + 1)
        else:
            layer.show(box, self.mask.classes, grid)

    def show_versions(self, versions: TwoVersions | None) -> None:
        """Show what two models have predicted above the mask; None to remove it."""
        layer = self.versions if self._in_viewer(self.versions) else None
        if versions is None or self.record is None or self.mask is None or not can_paint_pyramids():
            self.versions = None
            if layer is not None:
                self.viewer.layers.remove(layer)
            return
        settings = {"name": f"{self.record.id} · models", **layer_transform(self.record.mpp, self.record.downsample)}
        if layer is None:
            layer = self.versions = VersionsLayer(self.mask.mask, versions, self.mask.classes, **settings)
            layer.metadata = _metadata(self.record, "versions")
            self._insert_beside(layer, self.viewer.layers.index(self.mask) + 1)
        else:
            layer.show(self.mask.mask, versions, self.mask.classes)
            _set_properties(layer, self.record, "versions", settings)

    def redraw_versions(self) -> None:
        """Draw the two models again after another part of each is to be shown."""
        if self.versions is not None and self._in_viewer(self.versions):
            self.versions.redraw()

    def redraw_prediction(self) -> None:
        """Draw what has been read since."""
        if self.prediction is not None and self._in_viewer(self.prediction):
            self.prediction.refresh(extent=False, thumbnail=False)

    def _color_live(self) -> None:
        """Give the live layer the colours of the mask's classes, hidden ones none."""
        if self.live is not None and self.mask is not None:
            self.live.set_classes(self.mask.classes, self.mask.hidden_classes)

    def _insert_beside(self, layer: Layer, place: int) -> None:
        """Insert a layer that the user did not ask for: the active one stays active."""
        active = self.viewer.layers.selection.active
        self.viewer.layers.insert(place, layer)
        self.viewer.layers.selection.active = active

    # -- one layer each

    def _own(self) -> tuple[Layer | None, ...]:
        fixed = (
            *(self.image, self.probability, self.prediction, self.live),
            *(self.mask, self.refined, self.comparison, self.versions, self.contours),
        )
        return (*fixed, *self.overlays.values())

    def _show_image(self, record: SlideRecord, slide: Slide) -> None:
        levels = level_arrays(slide)
        settings = {"name": record.id, **layer_transform(record.mpp, 1)}
        layer = self.image
        rgb = slide.channels == 3
        if layer is not None and self._in_viewer(layer):
            if layer.rgb == rgb:
                layer.data = levels
                _set_properties(layer, record, "image", settings)
                return
            self.viewer.layers.remove(layer)
        layer = Image(levels, multiscale=True, rgb=rgb, contrast_limits=(0, 255), **settings)
        self.image = self._insert(layer, record, "image")

    def _show_probability(self, record: SlideRecord) -> None:
        step = probability_downsample(record)
        settings = {"name": f"{record.id} · probability", **layer_transform(record.mpp, record.downsample * step)}
        empty = np.zeros(grid_shape(record.mask_shape, step), np.uint8)
        if self.probability is not None and self._in_viewer(self.probability):
            self.probability.data = empty
            _set_properties(self.probability, record, "probability", settings)
            return
        layer = Image(
            empty, colormap=_PROBABILITY_COLORS, opacity=0.6, contrast_limits=(0, 255), visible=False, **settings
        )
        self.probability = self._insert(layer, record, "probability")

    def _show_mask(self, record: SlideRecord, mask: Mask, classes: ClassTable) -> None:
        settings = {"name": f"{record.id} · mask", **layer_transform(record.mpp, record.downsample)}
        if self.mask is not None and self._in_viewer(self.mask):
            self.mask.set_mask(mask)
            if self.mask.classes != classes:
                self.mask.set_classes(classes)
            _set_properties(self.mask, record, "mask", settings)
            if self.live is not None and self._in_viewer(self.live):
                self.live.set_mask(mask)
                _set_properties(self.live, record, "live", _live_settings(record))
            return
        layer = make_mask_layer(mask, classes, opacity=0.5, **settings)
        layer.selected_label = classes.specs[1].index
        layer.brush_size = 40
        layer.is_complete_at = self._is_complete_at
        self.mask = self._insert(layer, record, "mask")

    def _is_complete_at(self, position: Any) -> bool:
        """Return whether unlabelled means Background at a position in the world."""
        record, image = self.record, self.image
        if record is None or image is None:
            return False
        row, column = image.world_to_data(position)[-2:]
        return record.complete or bool(record.boxes_at(row, column))

    def _show_contours(self, record: SlideRecord) -> None:
        settings = {"name": f"{record.id} · contours", **layer_transform(record.mpp, 1)}
        if self.contours is not None and self._in_viewer(self.contours):
            with self.contours.events.data.blocker():  # the user drew nothing
                self.contours.data = self._unfilled.pop(record.id, None) or _NO_OUTLINES
            _set_properties(self.contours, record, "contours", settings)
            return
        layer = Shapes(ndim=2, edge_width=3, edge_color="#ffd200", face_color="transparent", **settings)
        self.contours = self._insert(layer, record, "contours")

    def _in_viewer(self, layer: Layer | None) -> bool:
        return layer is not None and layer in self.viewer.layers

    def _insert(self, layer: Layer, record: SlideRecord, role: str) -> Layer:
        layer.metadata = _metadata(record, role)
        self.viewer.layers.insert(self._place(role), layer)
        return layer

    def _place(self, role: str) -> int:
        """Return where a new layer goes: above those of its slide that lie below it, and above the user's images."""
        layers = self.viewer.layers
        fixed = dict(zip(_ORDER, (self.image, self.probability, self.mask, self.contours), strict=True))
        below = [fixed[name] for name in _ORDER[: _ORDER.index(role)]]
        above = [fixed[name] for name in _ORDER[_ORDER.index(role) + 1 :]]
        places: list[int] = [layers.index(layer) + 1 for layer in below if layer is not None and layer in layers]
        if places:
            return max(places)
        ceiling: list[int] = [layers.index(layer) for layer in above if layer is not None and layer in layers]
        images: list[int] = [layers.index(layer) + 1 for layer in foreign_images(self.viewer)]
        return min(ceiling, default=max(images, default=0))

    def _lower_foreign(self, event: Any) -> None:
        """Move an image that the user has opened below the mask, so that strokes are seen."""
        if self.record is not None and event.value in foreign_images(self.viewer) and self._in_viewer(self.mask):
            move_below(self.viewer, [event.value], self.lowest_above_image)


def _live_settings(record: SlideRecord) -> dict[str, Any]:
    return {"name": f"{record.id} · live", **layer_transform(record.mpp, record.downsample)}


def _metadata(record: SlideRecord, role: str) -> dict[str, Any]:
    return {METADATA_KEY: {"slide": record.id, "role": role}}


def _set_properties(layer: Layer, record: SlideRecord, role: str, settings: dict[str, Any]) -> None:
    for name, value in settings.items():
        if name not in ("scale", "translate") or not np.array_equal(getattr(layer, name), value):
            setattr(layer, name, value)  # of these two napari draws the layer again even if they stay the same
    layer.metadata = _metadata(record, role)


def _clear_brush(viewer: ViewerModel) -> None:
    """Remove the square that napari draws behind the brush circle: it hides the tissue."""
    for overlay in viewer.canvas.overlays.values():
        if isinstance(overlay, BrushCircleOverlay) and hasattr(overlay, "box"):
            overlay.box = False


def drawn_shapes(layer: Shapes) -> list[DrawnShape]:
    """Return the shapes on a layer in the form its `data` takes, without unfinished ones."""
    drawn = zip(layer.data, layer.shape_type, strict=True)
    shapes = [(np.array(points, float)[:, -2:], str(kind)) for points, kind in drawn]
    return [(points, kind) for points, kind in shapes if len(points) > 2 or kind == "line"]


def shape_outline(points: npt.NDArray[np.float64], kind: str) -> npt.NDArray[np.float64]:
    """Return the vertices of a drawn shape; an ellipse is given by its box."""
    if kind != "ellipse":
        return points
    centre: npt.NDArray[np.float64] = points.mean(axis=0)
    first, second = (points[1] - points[0]) / 2, (points[2] - points[1]) / 2
    angles = np.linspace(0, 2 * np.pi, 128, endpoint=False)[:, None]
    outline: npt.NDArray[np.float64] = centre + np.cos(angles) * first + np.sin(angles) * second
    return outline


def screen_pixels(layers: SlideLayers) -> float:
    """Return how many screen pixels wide a mask pixel is."""
    assert layers.mask is not None
    return float(layers.mask.scale[-1]) * float(layers.viewer.scene.camera.zoom)
