"""A painting session that runs on a mask or on plain arrays, shared by the benchmarks."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numcodecs.zstd import Zstd

from napari_pathseg.geometry import Region
from napari_pathseg.masks import Mask
from napari_pathseg.masks import label_rules as rules
from napari_pathseg.masks.shapes import BrushSegment, PolygonShape
from napari_pathseg.masks.stroke_queue import Brush, Stroke

_ZSTD = Zstd(level=1)


class Canvas(Protocol):
    """Something that can be painted: a mask, or the control."""

    def add_stroke(self, stroke: Stroke) -> None: ...
    def process_pending(self, budget_s: float) -> Any: ...
    def end_undo_group(self) -> None: ...
    def undo(self) -> Any: ...
    def redo(self) -> Any: ...
    def flush(self) -> None: ...
    def close(self) -> None: ...


class Plain:
    """The reference model of a mask: plain arrays, with whole copies for undo."""

    def __init__(self, pixels: np.ndarray) -> None:
        self.pixels = pixels
        self.past: list[bytes] = []
        self.future: list[bytes] = []
        self.step: np.ndarray | None = None

    def add_stroke(self, stroke: Stroke) -> None:
        box = stroke.shape.box.clip(self.pixels.shape[1:])
        flags = None if box.empty else stroke.shape.flags(box)
        if flags is None:
            return
        before = self.pixels[:, *box.slices]
        after = rules.apply_paint(before, np.where(flags, np.uint8(stroke.brush.label), before[0]), flags)
        if (after != before).any():
            self.step = self.pixels if self.step is None else self.step
            self.pixels = self.pixels.copy()
            self.pixels[:, *box.slices] = after

    def process_pending(self, budget_s: float) -> None:
        """Do nothing: strokes are applied at once."""

    def end_undo_group(self) -> None:
        if self.step is not None:
            self.past.append(_ZSTD.encode(self.step))
            self.future.clear()
            self.step = None

    def undo(self) -> None:
        self.end_undo_group()
        self._move(self.past, self.future)

    def redo(self) -> None:
        self.end_undo_group()
        self._move(self.future, self.past)

    def _move(self, source: list[bytes], target: list[bytes]) -> None:
        if source:
            target.append(_ZSTD.encode(self.pixels))
            self.pixels = self.unpacked(source.pop())

    def unpacked(self, state: bytes) -> np.ndarray:
        """Return an unpacked state of `past` or `future`."""
        return np.frombuffer(_ZSTD.decode(state), np.uint8).reshape(self.pixels.shape)

    def flush(self) -> None:
        """Do nothing: there is no disk."""

    def close(self) -> None:
        self.end_undo_group()


class InPlace(Plain):
    """The control: each stroke rewrites the whole mask in place."""

    def __init__(self, path: Path, shape: tuple[int, int]) -> None:
        super().__init__(in_place(path, shape))
        self.path = path

    def add_stroke(self, stroke: Stroke) -> None:
        super().add_stroke(stroke)
        np.savez_compressed(self.path, pixels=self.pixels)

    def _move(self, source: list[bytes], target: list[bytes]) -> None:
        super()._move(source, target)
        np.savez_compressed(self.path, pixels=self.pixels)


def in_place(path: Path, shape: tuple[int, int]) -> np.ndarray:
    """Return what the control has written, or zeros."""
    if not path.exists():
        return np.zeros((2, *shape), np.uint8)
    with np.load(path) as file:
        return file["pixels"]


# -- the session

WORDS = ["work"] * 6 + ["end_undo_group"] * 6 + ["undo"] * 2 + ["redo", "flush"]


def session(shape: tuple[int, int], chance: random.Random) -> Iterator[dict[str, Any]]:
    """Yield random actions without end: brush segments, outlines, processing, undo; one brush to an undo group."""
    brush = 1
    while True:
        word = chance.choice(["stroke"] * 14 + WORDS)
        if word != "stroke":
            yield {"do": word}
            brush = chance.choice([0, 1, 2, 3]) if word in ("end_undo_group", "undo", "redo") else brush
            continue
        start = [chance.uniform(-20, size + 20) for size in shape]
        reach = chance.choice([30, 200, max(shape)])
        end = [at + chance.uniform(-reach, reach) for at in start]
        radius = chance.choice([2, 12, 12, 40, 250])
        yield {"do": "stroke", "outline": chance.random() < 0.1, "ends": [start, end], "radius": radius, "label": brush}


def do(canvas: Canvas, action: dict[str, Any]) -> None:
    """Run an action on a canvas."""
    if action["do"] == "stroke":
        start, end = action["ends"]
        corners = np.array([start, [start[0], end[1]], end, [end[0], start[1]]], float)
        pull = BrushSegment(tuple(start), tuple(end), action["radius"])
        shape = PolygonShape([corners]) if action["outline"] else pull
        canvas.add_stroke(Stroke(shape, Brush(action["label"])))
    elif action["do"] == "work":
        canvas.process_pending(0.005)
    elif action["do"] in ("undo", "redo") and isinstance(canvas, Mask):  # as the window does it: by and by
        canvas.end_undo_group()
        canvas.apply_pending()
        getattr(canvas, f"enqueue_{action['do']}")()
    else:
        getattr(canvas, action["do"])()


def pixels_of(mask: Mask) -> np.ndarray:
    """Return labels and provenance of a whole mask."""
    return np.stack(mask.read(Region(0, 0, *mask.shape)))
