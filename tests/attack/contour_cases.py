"""Attacks by contour files, label images, tables and bundles of strangers."""

import base64
import gzip
import json
import os
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

import payloads
import writers
from scene import Case, Command, Make, Site

_SVG = '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink">{}</svg>'
_OUTLINE = '<polygon points="20,20 100,20 100,100 20,100" stroke="red" fill="none"/>'
_SQUARE = writers.square(20, 20, 80)


def _text(name: str, content: Callable[[Site], str | bytes], *options: str) -> Make:
    def make(site: Site) -> Command:
        written = content(site)
        (site.inputs / name).write_bytes(written if isinstance(written, bytes) else written.encode())
        return site.contours(site.inputs / name, *options)

    return make


def _entities(root: str) -> str:
    entities = "".join(f'<!ENTITY l{i} "{f"&l{i - 1};" * 10}">' for i in range(1, 10))
    return f'<!DOCTYPE {root} [<!ENTITY l0 "lol">{entities}]><{root}>&l9;</{root}>'


def _many_contours(count: int) -> Make:
    def make(site: Site) -> Command:
        columns = int(count**0.5) + 1
        step = 180 / columns
        rings = [writers.square(5 + n % columns * step, 5 + n // columns * step, step * 0.8) for n in range(count)]
        return site.contours(writers.geojson(site.inputs / "many.geojson", rings))

    return make


def _coco(site: Site) -> str:
    image = {"id": 1, "file_name": "../../outside/secret.txt", "height": 192, "width": 192, "coco_url": f"{site.url}/a"}
    flat = [number for point in _SQUARE for number in point]
    entry = {"id": 1, "image_id": 1, "category_id": 1, "segmentation": [flat]}
    return json.dumps({"images": [image], "categories": [{"id": 1, "name": "Tumour"}], "annotations": [entry]})


def _coco_mask(site: Site) -> str:
    image = {"id": 1, "file_name": "a.tif", "height": 192, "width": 192}
    entry = {"id": 1, "image_id": 1, "category_id": 1, "segmentation": {"size": [60_000, 60_000], "counts": [0, 10**9]}}
    return json.dumps({"images": [image], "categories": [{"id": 1, "name": "Tumour"}], "annotations": [entry]})


def _labelme(site: Site) -> str:
    shape = {"label": "Tumour", "points": _SQUARE, "shape_type": "polygon"}
    return json.dumps({"version": "5", "imagePath": "/etc/passwd", "imageData": None, "imageHeight": 192,
                       "imageWidth": 192, "shapes": [shape]})  # fmt: skip


def _labelme_mask(site: Site) -> str:
    mask = base64.b64encode(payloads.png(30_000, 30_000)).decode()
    shape = {"label": "Tumour", "points": [[0, 0], [191, 191]], "shape_type": "mask", "mask": mask}
    return json.dumps({"version": "5", "imageHeight": 192, "imageWidth": 192, "shapes": [shape]})


def _label_tiff(
    compression: int, content: Callable[[], bytes], tile: int = 256, shape: tuple[int, int] = (192, 192)
) -> Make:
    def make(site: Site) -> Command:
        path = writers.write_tiff(site.inputs / "a_mask.tif", [content()], shape, compression, tile=tile)
        return site.contours(path)

    return make


def _large_slide(side: int, mask: Callable[[Path], None]) -> Make:
    """Make a slide of almost no bytes and many pixels, and its label image."""

    def make(site: Site) -> Command:
        slide = site.inputs / "large.tif"
        writers.write_tiff(
            slide, [zlib.compress(bytes(16 << 20))], (side, side), 8, tile=4096, repeat=(-(-side // 4096)) ** 2
        )
        mask(site.inputs)
        return site.add(slide, "--contours", str(next(site.inputs.glob("large_mask.*"))))

    return make


def _large_png(folder: Path, side: int = 40_000) -> None:
    (folder / "large_mask.png").write_bytes(payloads.png(side, side))


def _large_tiff(folder: Path, side: int = 40_000) -> None:
    tile = zlib.compress(bytes(16 << 20))
    writers.write_tiff(folder / "large_mask.tif", [tile], (side, side), 8, tile=4096, repeat=(-(-side // 4096)) ** 2)


def _table(name: str, write: Callable[[Path], None]) -> Make:
    def make(site: Site) -> Command:
        write(site.inputs / name)
        return site.of_project("split", "--patient", str(site.inputs / name))

    return make


def _sparse(path: Path) -> None:
    with path.open("ab") as file:
        file.truncate(20 << 30)


def _sparse_after(content: bytes) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        path.write_bytes(content)
        _sparse(path)

    return write


def _file_as(name: str, write: Callable[[Path], None]) -> Make:
    def make(site: Site) -> Command:
        write(site.inputs / name)
        return site.contours(site.inputs / name)

    return make


def _folder_as(name: str, write: Callable[[Path], None]) -> Make:
    """Make a folder of contours with one odd file, which is named for the slide."""

    def make(site: Site) -> Command:
        write(site.inputs / name)
        return site.contours(site.inputs)

    return make


def _classes(count: int) -> Make:
    def make(site: Site) -> Command:
        return ["new", str(site.folder / "out"), *(part for n in range(count) for part in ("--class", f"class {n}"))]

    return make


def _svg_file(text: str) -> Make:
    return _text("a.svg", lambda site: _SVG.format(text.format(url=site.url, folder=site.folder)))


_CASE = partial(Case, "contours")
_LABELS = partial(Case, "label images")
_PATIENTS = partial(Case, "patients")
_CLASSES = partial(Case, "classes")

CASES = (
    _CASE("SVG with entities", _text("a.svg", lambda site: _entities("svg")), 1, "declares a document type of its own"),
    _CASE(
        "ASAP with entities",
        _text("a.xml", lambda site: _entities("ASAP_Annotations")),
        1,
        "declares a document type of its own",
    ),
    _CASE(
        "SVG with an external entity",
        _text("a.svg", lambda site: '<!DOCTYPE svg [<!ENTITY x SYSTEM "file:///etc/passwd">]><svg>&x;</svg>'),
        1,
        "declares a document type of its own",
        quick=True,
    ),
    _CASE(
        "SVG with a document type at an address",
        _text("a.svg", lambda site: f'<!DOCTYPE svg SYSTEM "{site.url}/x.dtd">' + _SVG.format(_OUTLINE)),
        0,
        "Contours were imported into 1",
    ),
    _CASE(
        "SVG with pictures at an address",
        _svg_file(_OUTLINE + '<image xlink:href="{url}/a.png"/><image href="file://{folder}/outside/a.png"/>'),
        0,
        "Contours were imported into 1",
        quick=True,
    ),
    _CASE(
        "SVG with a style sheet at an address",
        _svg_file('<?xml-stylesheet href="{url}/a.css"?><style>@import url({url}/b.css);</style>' + _OUTLINE),
        0,
        "Contours were imported into 1",
    ),
    _CASE(
        "SVG with uses that loop",
        _svg_file('<g id="a"><use xlink:href="#b"/></g><g id="b"><use xlink:href="#a"/></g>' + _OUTLINE),
        1,
        "is used inside itself",
    ),
    _CASE(
        "SVG in gzip of 4 GiB",
        _text("a.svg", lambda site: payloads.gzipped(b"<svg>", 4 * payloads.GIB)),
        1,
        "a.svg is not XML",
        quick=True,
    ),
    _CASE(
        "SVG in gzip as SVGZ",
        _text("a.svgz", lambda site: gzip.compress(_SVG.format(_OUTLINE).encode())),
        1,
        "is not the suffix of a contour file",
    ),
    _CASE(
        "deep JSON",
        _text("a.geojson", lambda site: "[" * 1_000_000),
        1,
        "is nested too deeply for a contour file",
        quick=True,
    ),
    _CASE(
        "20 million empty objects",
        _text("a.json", lambda site: "[" + "{}," * 20_000_000 + "1]"),
        1,
        "has more than 8,000,000 points and objects",
    ),
    _CASE(
        "8 million empty objects",
        _text("a.json", lambda site: "[" + "{}," * 7_900_000 + "1]"),
        1,
        "its geometry is null",
    ),
    _CASE("200,000 contours", _many_contours(200_000), 0, "Contours were imported into 1", seconds=30),
    _CASE("5,000 contours", _many_contours(5_000), 0, "Contours were imported into 1"),
    _CASE("COCO that names a file above", _text("a.json", _coco), 0, "Contours were imported into 1", quick=True),
    _CASE("COCO with a mask of 60,000 px", _text("a.json", _coco_mask), 1, "its mask has 60000 x 60000 pixels"),
    _CASE("LabelMe that names another file", _text("a.json", _labelme), 0, "Contours were imported into 1"),
    _CASE(
        "LabelMe with a mask of 30,000 px", _text("a.json", _labelme_mask), 1, "its mask is not a readable PNG image"
    ),
    _CASE("a pipe", _file_as("a.svg", os.mkfifo), 1, "is a pipe or a device, not a file"),
    _CASE("a pipe in a folder", _folder_as("a.svg", os.mkfifo), 0, "No contours in"),
    _CASE(
        "a device",
        _file_as("a.svg", lambda path: path.symlink_to("/dev/zero")),
        1,
        "is a pipe or a device, not a file",
        quick=True,
    ),
    _CASE("20 GiB", _file_as("a.geojson", _sparse), 1, "contour files of at most 256 MiB can be read", quick=True),
    _CASE(
        "a class named like a path",
        lambda site: site.contours(
            writers.geojson(site.inputs / "a.geojson", [_SQUARE], "../../outside/x"), "--map", "../../outside/x=Tumour"
        ),
        0,
        "Contours were imported into 1",
    ),
    _LABELS("deflate of 4 GiB", _label_tiff(8, lambda: payloads.deflate(4 << 30)), 1, "a_mask.tif could not be read"),
    _LABELS(
        "zstd of 4 GiB", _label_tiff(writers.ZSTD, lambda: payloads.zstd(4 << 30)), 1, "a_mask.tif could not be read"
    ),
    _LABELS(
        "PNG in TIFF of 60,000 px",
        _label_tiff(writers.PNG, lambda: payloads.png(60_000, 60_000)),
        1,
        "a_mask.tif could not be read",
    ),
    _LABELS(
        "LERC in TIFF of 40,000 px", _label_tiff(writers.LERC, lambda: payloads.LERC), 1, "a_mask.tif could not be read"
    ),
    _LABELS(
        "JPEG 2000 in TIFF of 16,000 px",
        _label_tiff(writers.JPEG_2000, lambda: payloads.JPEG_2000),
        1,
        "it claims 16000 x 16000 pixels",
    ),
    _LABELS(
        "WebP in TIFF of 16,000 px",
        _label_tiff(writers.WEBP, lambda: payloads.WEBP),
        1,
        "a_mask.tif could not be read",
        quick=True,
    ),
    _LABELS(
        "a tile of 60,000 px",
        _label_tiff(8, lambda: payloads.deflate(4 << 30), tile=60_000),
        1,
        "each of which needs more than 256 MiB",
        quick=True,
    ),
    _LABELS(
        "PNG of 60,000 px",
        _text("a_mask.png", lambda site: payloads.png(60_000, 60_000)),
        1,
        "a_mask.png could not be read",
    ),
    _LABELS(
        "PNG of 40,000 px of such a slide",
        _large_slide(40_000, _large_png),
        1,
        "large_mask.png could not be read",
    ),
    _LABELS("TIFF of 40,000 px of such a slide", _large_slide(40_000, _large_tiff), 1, "needs more than 512 MiB"),
    _LABELS("a pipe", _file_as("a_mask.png", os.mkfifo), 1, "is a pipe or a device, not a file"),
    _LABELS("a pipe as TIFF", _file_as("a_mask.tif", os.mkfifo), 1, "is a pipe or a device, not a file"),
    _PATIENTS("a pipe", _table("p.csv", os.mkfifo), 1, "it is a pipe or a device"),
    _PATIENTS(
        "a device",
        _table("p.csv", lambda path: path.symlink_to("/dev/zero")),
        1,
        "it is a pipe or a device",
        quick=True,
    ),
    _PATIENTS(
        "20 GiB", _table("p.csv", _sparse_after(b"slide,patient\n")), 1, "at most 65,536 KiB are read", quick=True
    ),
    _PATIENTS(
        "one field of 60 MB",
        _table("p.csv", lambda path: path.write_text("slide,patient\na," + "x" * 60_000_000)),
        1,
        "field larger than field limit",
    ),
    _PATIENTS(
        "paths as names",
        _table("p.csv", lambda path: path.write_text("slide,patient\na,../../x\nb,/etc/passwd\n")),
        0,
        "1 train, 1 val, 0 test",
    ),
    _CLASSES("254 classes", _classes(254), 1, "it needs 2 to 100"),
    _CLASSES("255 classes", _classes(255), 1, "it needs 2 to 100"),
    _CLASSES("256 classes", _classes(256), 1, "it needs 2 to 100", quick=True),
)
