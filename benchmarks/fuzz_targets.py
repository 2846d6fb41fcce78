"""What `fuzz.py` attacks: each reader of files of strangers, with small valid files and its documented errors."""

import base64
import io
import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import fuzz_mutations as mutations
import numpy as np
import tifffile
from PIL import Image

from napari_pathseg.classes import DEFAULT_CLASSES
from napari_pathseg.contours.contour import Contour
from napari_pathseg.contours.formats import SlideGeometry, read_contours, write_contours
from napari_pathseg.contours.formats.label_images.reader import label_image_shape, read_label_image
from napari_pathseg.errors import AnnotationError, ConfigError, ProjectError, UnsupportedSlideError
from napari_pathseg.geometry import Region
from napari_pathseg.masks.history import History
from napari_pathseg.masks.journal import Journal, RecordKind
from napari_pathseg.masks.opening import open_mask
from napari_pathseg.masks.operations import MaskOperation, OperationStep
from napari_pathseg.masks.shapes import BitmapShape, BrushSegment, PolygonShape
from napari_pathseg.masks.stroke_queue import Brush, Stroke, stroke_from
from napari_pathseg.projects.patients import patient_parser
from napari_pathseg.slides.ome import read_ome
from napari_pathseg.slides.registry import count_pages, open_slide

_FRAME = SlideGeometry("a.ndpi", (2000, 1000), 0.5, (100.0, -200.0))
_OF_ANY_SIZE = SlideGeometry("a.ndpi")
_LABELS = (np.arange(12 * 10).reshape(12, 10) % 4).astype(np.uint8)
_COLORS = {"#000000": 0, "#a05aa0": 1, "#ff0000": 2, "#090909": 3}
_MASK_SHAPE = (40, 60)


@dataclass(frozen=True, kw_only=True)
class Target:
    """A reader of files.

    Attributes
    ----------
    share
        Thousands of executions among about a million for all targets.
    name
        The name of the file that it reads.
    seeds
        Writes valid files into a folder and returns what they hold.
    read
        Reads the file at a path, and all that a program makes of it.
    refusals
        The only errors that it may raise.
    kinds
        Mutations of its files.
    """

    share: int
    name: str
    seeds: Callable[[Path], list[bytes]]
    read: Callable[[Path], object]
    refusals: tuple[type[Exception], ...]
    kinds: Sequence[mutations.Mutation]


# -- contours


def _contours() -> list[Contour]:
    ring = np.array([[0.0, 0], [0, 40], [40, 40], [40, 0]])
    return [
        Contour(ring + 5, (ring / 4 + 10,), "Tumour", color="#a05aa0"),
        Contour(ring * 1.5 + 100.25, (), "Stroma, old"),
        Contour(ring[:3] + 60, (), ""),
    ]


def _written(key: str, name: str, *more: str | bytes) -> Callable[[Path], list[bytes]]:
    def seeds(folder: Path) -> list[bytes]:
        found = []
        for contours in (_contours(), _contours()[:1]):
            write_contours(folder / name, contours, format=key, frame=_FRAME)
            found.append((folder / name).read_bytes())
        return [*found, *(text.encode() if isinstance(text, str) else text for text in more)]

    return seeds


def _contour_target(key: str, name: str, share: int, kinds: Sequence[mutations.Mutation], *more: str) -> Target:
    frame = _OF_ANY_SIZE if key in ("cvat", "coco", "labelme") else _FRAME  # these state the size of the image
    return Target(
        share=share,
        name=name,
        seeds=_written(key, name, *more),
        read=lambda path: read_contours(path, frame),
        refusals=(AnnotationError,),
        kinds=kinds,
    )


_SVG = (
    '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="90mm" height="60mm" '
    'viewBox="0 0 900 600" preserveAspectRatio="xMinYMid slice"><style>.a{fill:red;stroke:#12f} #p{display:none}'
    '@media print{g{fill:blue}}</style><defs><path id="p" d="M1 1h9v9h-9zm2 2v2h2v-2z"/></defs>'
    '<g transform="translate(5,6) rotate(30 4 4) scale(2) skewX(3)" class="a"><title>Tumour</title>'
    '<use xlink:href="#p" x="3"/></g><path fill-rule="evenodd" d="M0 0A5 6 30 1 0 9 9C1 2 3 4 5 6S7 8 9 9Q1 9 2 2'
    'T9 0l4 4H30V40z"/><circle r="5" cx="50%" cy="9"/><ellipse rx="4" ry="3" cx="30" cy="1em"/><rect width="8" '
    'height="9" rx="2"/><polyline points="1,1 5,1 5,5" style="fill:none;stroke:#ff0000;opacity:.5"/>'
    '<switch><g systemLanguage="de"/><polygon points="0,0 4,0 4,4" data-holes="1"/></switch></svg>',
    '<svg viewBox="0 0 9 9"><image href="a.png" width="9" height="9"/><symbol id="s" viewBox="0 0 2 2">'
    '<path d="M0 0L2 0 2 2z"/></symbol><use href="#s" width="4" height="4"/></svg>',
)
_ASAP = (
    '<ASAP_Annotations><Annotations><Annotation Name="a" Type="Spline" PartOfGroup="Tumour" Color="#F4FA58">'
    '<Coordinates><Coordinate Order="1" X="9" Y="1"/><Coordinate Order="0" X="1" Y="1.5"/><Coordinate Order="2" '
    'X="5" Y="8"/></Coordinates></Annotation><Annotation Name="b" Type="Rectangle" PartOfGroup="exclusion">'
    '<Coordinates><Coordinate X="1" Y="1"/><Coordinate X="2" Y="1"/><Coordinate X="2" Y="2"/></Coordinates>'
    '</Annotation><Annotation Name="c" Type="Dot"/></Annotations><AnnotationGroups><Group Name="Tumour" '
    'PartOfGroup="None" Color="#64FE2E"><Attributes/></Group></AnnotationGroups></ASAP_Annotations>'
)
_APERIO = (
    '<Annotations MicronsPerPixel="0.5"><Annotation Id="1" Name="Tumour" LineColor="65280"><Attributes><Attribute '
    'Name="Description" Value="x"/></Attributes><Regions><RegionAttributeHeaders/><Region Id="1" Type="0" '
    'NegativeROA="0"><Vertices><Vertex X="0" Y="0"/><Vertex X="60" Y="0"/><Vertex X="60" Y="60" Z="0"/></Vertices>'
    '</Region><Region Type="0" NegativeROA="1"><Vertices><V X="1" Y="1"/><V X="9" Y="1"/><V X="9" Y="9"/></Vertices>'
    '</Region><Region Type="1"><Vertices><Vertex X="1" Y="2"/><Vertex X="7" Y="8"/></Vertices></Region><Region '
    'Type="2" HasEndcaps="0"><Vertices><Vertex X="1" Y="2"/><Vertex X="7" Y="8"/></Vertices></Region></Regions>'
    "</Annotation></Annotations>"
)
_CVAT = (
    "<annotations><version>1.1</version><meta><job><labels><label><name>Tumour</name><color>#FF0080</color></label>"
    '</labels></job></meta><image id="1" name="a.ndpi" width="99" height="98"><polygon label="Tumour" points='
    '"0,0;9,0;9,9" z_order="1"><attribute/></polygon><box label="A" xtl="10" ytl="20" xbr="50" ybr="30" rotation="90"/>'
    '<ellipse label="A" cx="50" cy="50" rx="30" ry="10" rotation="30"/><mask label="A" rle="3, 2, 4, 2, 1" left="5" '
    'top="6" width="4" height="3"/><polyline label="A" points="1,1;2,2"/></image><image id="2" name="b.png" width="9" '
    'height="9"/></annotations>'
)
_NDPA = "".join(
    (
        '<annotations><ndpviewstate id="1"><title>Tumour</title><details/><coordformat>nanometers</coordformat>',
        '<x>1</x><y>1</y><annotation type="freehand" displayname="A" color="#FF0080"><measuretype>0</measuretype>',
        "<closed>1</closed><pointlist><point><x>0</x><y>0</y></point><point><x>90000</x><y>0</y></point><point>",
        "<x>90000</x><y>80000</y></point></pointlist></annotation></ndpviewstate><ndpviewstate><title>B</title>",
        '<coordformat>nanometers</coordformat><annotation type="circle" color="#00ff00"><x>10</x><y>20</y><radius>5000',
        '</radius></annotation></ndpviewstate><ndpviewstate><annotation type="rectangle"><pointlist><point><x>1</x>',
        "<y>1</y></point></pointlist></annotation></ndpviewstate></annotations>",
    )
)


def _geojson() -> str:
    ring, inner = [[0, 0], [90, 0], [90, 90], [0, 90], [0, 0]], [[9, 9], [20, 9], [20, 20], [9, 9]]
    kinds = [("Polygon", [ring, inner]), ("MultiPolygon", [[ring], [inner]]), ("Point", [1, 2]), ("LineString", ring)]
    about = {"objectType": "annotation", "isLocked": False, "name": "x"}
    named = {"name": "Tumour", "color": [200, 0, 0], "colorRGB": -3670016}
    features = [
        {
            "type": "Feature",
            "id": "1",
            "geometry": {"type": kind, "coordinates": at, "plane": {"c": -1, "z": 0, "t": 0}},
            "properties": about | {"classification": named},
        }
        for kind, at in kinds
    ]
    features.append({"type": "Feature", "geometry": {"type": "GeometryCollection", "geometries": []}, "properties": {}})
    return json.dumps({"type": "FeatureCollection", "features": features})


def _as_text(counts: list[int]) -> str:
    """Return run lengths in COCO's compressed text."""
    text = ""
    for place, count in enumerate(counts):
        rest, more = count - (counts[place - 2] if place > 2 else 0), True
        while more:
            letter, rest = rest & 31, rest >> 5
            more = rest != (-1 if letter & 16 else 0)
            text += chr(48 + letter + 32 * more)
    return text


def _coco() -> str:
    runs = [{"size": [10, 12], "counts": [10, 4, 6, 4, 96]}, {"size": [10, 12], "counts": _as_text([10, 4, 6, 4, 96])}]
    outlines = [[[0, 0, 9, 0, 9, 9, 0, 9], [1, 1, 8, 1, 8, 8]], [[2, 2, 4, 2, 4, 4]]]
    annotations = [
        {"id": at, "image_id": 1, "category_id": 3, "segmentation": each, "iscrowd": int(isinstance(each, dict))}
        for at, each in enumerate([*outlines, *runs])
    ]
    annotations.append({"image_id": 2, "category_id": 4, "bbox": [1, 2, 3, 4]})
    images = [{"id": at, "file_name": name, "height": 10, "width": 12} for at, name in ((1, "a.ndpi"), (2, "b.png"))]
    categories = [{"id": 3, "name": "Tumour", "color": [200, 0, 10]}, {"id": 4, "name": "Stroma"}]
    return json.dumps({"images": images, "annotations": annotations, "categories": categories})


def _labelme() -> str:
    square = [[0, 0], [9, 0], [9, 9], [0, 9]]
    shapes = [("polygon", square), ("rectangle", square[::2]), ("circle", square[:2]), ("linestrip", square)]
    drawn = [{"label": "Tumour", "points": at, "shape_type": kind, "group_id": 1, "flags": {}} for kind, at in shapes]
    with io.BytesIO() as file:
        Image.fromarray((_LABELS > 1).astype(np.uint8) * 255).save(file, "PNG")
        mask = base64.b64encode(file.getvalue()).decode()
    drawn.append({"label": "A", "points": [[3, 4], [12, 15]], "shape_type": "mask", "mask": mask})
    about = {"imagePath": "a.ndpi", "imageData": None, "imageHeight": 99, "imageWidth": 98}
    return json.dumps({"version": "5.4.1", "flags": {}, "shapes": drawn} | about)


# -- pictures


def _label_images(folder: Path) -> list[bytes]:
    found = []
    for kind in ("PNG", "BMP"):
        indexed = Image.fromarray(_LABELS, "P")
        indexed.putpalette([0, 0, 0, 160, 90, 160, 255, 0, 0, 9, 9, 9])
        for picture in (Image.fromarray(_LABELS), indexed, indexed.convert("RGB")):
            with io.BytesIO() as file:
                picture.save(file, kind)
                found.append(file.getvalue())
    return found


def _label_tiffs(folder: Path) -> list[bytes]:
    kinds = [{"compression": "deflate"}, {"tile": (16, 16)}, {"photometric": "miniswhite"}, {"rowsperstrip": 4}]
    return [_tiff(_LABELS, **options) for options in kinds]


def _tiffs(folder: Path) -> list[bytes]:
    colour = np.random.default_rng(0).integers(0, 256, (24, 20, 3)).astype(np.uint8)
    grey, deep = colour[..., 0], colour[..., 0].astype(np.uint16) * 200
    about = "Aperio Image Library v11\n24x20 |AppMag = 20|MPP = 0.5"
    return [
        _tiff(colour, photometric="rgb", tile=(16, 16), compression="deflate", resolution=(4e4, 4e4)),
        _tiff(colour, photometric="rgb", rowsperstrip=5, description=about),
        _tiff(colour, photometric="ycbcr", compression="jpeg", tile=(16, 16), subsampling=(2, 2)),
        _tiff(deep, predictor=True, compression="zstd"),
        _tiff(np.stack([grey] * 3), photometric="minisblack"),
        _tiff(np.stack([grey] * 3), photometric="rgb", planarconfig="separate"),
        _tiff(grey, photometric="palette", colormap=np.full((3, 256), 999, np.uint16)),
        _tiff(np.stack([grey] * 2), ome=True, metadata={"axes": "CYX", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5}),
    ]


def _tiff(pixels: np.ndarray, ome: bool = False, **options: object) -> bytes:
    with io.BytesIO() as file:
        tifffile.imwrite(file, pixels, ome=ome, **({"metadata": None} | options))
        return file.getvalue()


def _read_label_image(path: Path) -> None:
    label_image_shape(path)
    read_label_image(path, _LABELS.shape, _COLORS)


def _read_slide(path: Path) -> None:
    pages = count_pages(path)
    with open_slide(path, None if pages == 1 else 0) as slide:
        assert slide.mpp is None or 0 < slide.mpp < 1e9
        if max(slide.shape) <= 4096:
            slide.thumbnail(64)
            slide.read(Region(0, 0, min(40, slide.shape[0]), min(40, slide.shape[1])))


# -- text


_OME = (
    b'<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><!-- x --><Image ID="1">'
    b'<Pixels PhysicalSizeX="0.25" PhysicalSizeXUnit="&#181;m" PhysicalSizeY="250" PhysicalSizeYUnit="nm" '
    b'SignificantBits="12" SizeC="2"><Channel ID="c" Name="DAPI" Color="-16776961" EmissionWavelength="461"/>'
    b'<Channel Fluor="x" Color="65535" ContrastMethod="Fluorescence"/></Pixels></Image><Image><Pixels '
    b'PhysicalSizeX="1" PhysicalSizeXUnit="in"/></Image></OME>'
)


def _patients(folder: Path) -> list[bytes]:
    lines = "slide,patient\ncase1.svs,P1\ncase2,P1\ncase3.ome.tif,P2\n"
    return [lines.encode(), lines.replace(",", ";").encode("utf-8-sig"), lines.replace("P1", '"P ""1"\n2').encode()]


def _read_patients(path: Path) -> None:
    patient_of = patient_parser(str(path))
    for name in ("case1", "case2", "case3"):
        patient_of(name)


# -- the journal of a mask


def _two_boxes(mask: object) -> object:
    for box in (Region(0, 0, 5, 5), Region(20, 20, 5, 5)):
        yield OperationStep(mask.edit(box, np.full((5, 5), 3, np.uint8), np.full((5, 5), 3, np.uint8)), 0.5)


def _journals(folder: Path) -> list[bytes]:
    """Return the journals of masks that were edited in every way; some were saved, some were killed."""
    found = []
    square = np.array([[2, 2], [2, 20], [20, 20], [20, 2]], float)
    shapes = [BrushSegment((3, 4), (20, 30), 5), PolygonShape([square, square / 2 + 5])]
    shapes.append(BitmapShape(np.eye(8, dtype=bool), Region(1, 1, 8, 8), 2))
    for ending in ("kill", "save", "pending"):
        path = folder / f"{ending}.zarr"
        mask = open_mask(path, _MASK_SHAPE, DEFAULT_CLASSES)
        for number, shape in enumerate(shapes):
            mask.add_stroke(Stroke(shape, Brush(1 + number % 2, None if number else 0, frozenset({3}))))
            mask.end_undo_group()
        if ending != "pending":
            mask.run(MaskOperation("Filling", _two_boxes))
            mask.edit_in_run(Region(30, 30, 9, 9), *np.full((2, 9, 9), 1, np.uint8))
            mask.end_run()
            mask.undo()
            mask.redo()
        if ending == "save":
            mask.flush()
        mask.abandon()
        found.append(path.with_suffix(".journal").read_bytes())
    return found


def _read_journal(path: Path) -> None:
    journal = Journal(path)
    try:
        history = History(journal, _MASK_SHAPE)
        _ = history.saved_counts
        for kind, group in history.unapplied:
            for record in group if kind is RecordKind.STROKE else ():
                try:
                    stroke_from(journal.read(record) or b"").shape.flags(Region(0, 0, *_MASK_SHAPE))
                except ValueError:
                    continue
            if kind in (RecordKind.EDIT, RecordKind.OP_CHUNK, RecordKind.RUN_TILE, RecordKind.UNDO, RecordKind.REDO):
                list(history.changes(kind, group))
    finally:
        journal.close()


def _read_mask(path: Path) -> None:
    """Open a mask of these edits, take them all back, and save it."""
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        store = Path(folder) / "m.zarr"
        open_mask(store, _MASK_SHAPE, DEFAULT_CLASSES).abandon()
        path.replace(store.with_suffix(".journal"))
        with open_mask(store, _MASK_SHAPE, DEFAULT_CLASSES) as mask:
            assert mask.counts.sum() >= 0
            for _ in range(20):
                mask.undo()
            mask.redo()


TARGETS = {
    "svg": _contour_target("svg", "a.svg", 150, mutations.XML, *_SVG),
    "asap": _contour_target("asap", "a.xml", 80, mutations.XML, _ASAP),
    "aperio": _contour_target("aperio", "a.xml", 80, mutations.XML, _APERIO),
    "halo": _contour_target("halo", "a.annotations", 20, mutations.XML, _APERIO),
    "cvat": _contour_target("cvat", "a.xml", 80, mutations.XML, _CVAT),
    "ndpa": _contour_target("ndpa", "a.ndpa", 60, mutations.XML, _NDPA),
    "geojson": _contour_target("geojson", "a.geojson", 120, mutations.JSON, _geojson()),
    "coco": _contour_target("coco", "a.json", 80, mutations.JSON, _coco()),
    "labelme": _contour_target("labelme", "a.json", 80, mutations.JSON, _labelme()),
    "label-image": Target(
        share=50, name="a.png", seeds=_label_images, read=_read_label_image, refusals=(AnnotationError,),
        kinds=mutations.BYTES,
    ),
    "label-tiff": Target(
        share=20, name="a.tif", seeds=_label_tiffs, read=_read_label_image, refusals=(AnnotationError,),
        kinds=mutations.TIFF,
    ),
    "tiff": Target(
        share=40, name="a.tif", seeds=_tiffs, read=_read_slide, refusals=(UnsupportedSlideError,), kinds=mutations.TIFF
    ),
    "ome": Target(
        share=150, name="a.xml", seeds=lambda _: [_OME], read=lambda path: read_ome(path.read_text("utf8", "replace")),
        refusals=(), kinds=mutations.XML,
    ),
    "journal": Target(
        share=60, name="a.journal", seeds=_journals, read=_read_journal, refusals=(ProjectError,),
        kinds=mutations.JOURNAL,
    ),
    "mask": Target(
        share=4, name="a.journal", seeds=_journals, read=_read_mask, refusals=(ProjectError,), kinds=mutations.JOURNAL
    ),
    "patients": Target(
        share=60, name="a.csv", seeds=_patients, read=_read_patients, refusals=(ConfigError,), kinds=mutations.TEXT
    ),
}  # fmt: skip
