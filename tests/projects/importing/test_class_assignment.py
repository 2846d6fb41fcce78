"""A contour without a class never becomes the first class unnoticed, whichever format it is in."""

import json

import numpy as np
import pytest

from napari_pathseg.classes import class_table
from napari_pathseg.cli import main
from napari_pathseg.contours.contour import Contour
from napari_pathseg.contours.formats import SlideGeometry, read_contours
from napari_pathseg.errors import AnnotationError
from napari_pathseg.projects.importing.class_assignment import assign_classes, default_classes

CLASSES = class_table([("Background", None), ("Tumour", None), ("Stroma", None)])
TWO = class_table([("Background", None), ("Tumour", None)])
SQUARE = np.array([[0.0, 0], [0, 9], [9, 9], [9, 0]])
GLASS = SlideGeometry("a.ndpi", (100, 100), 0.5, (0.0, 0.0))


def contour(class_name="", layer="", color=None):
    return Contour(SQUARE, class_name=class_name, layer=layer, color=color)


def imagescope(*layers):
    body = "".join(
        f'<Annotation Id="{n}" Name="{name}"><Attributes><Attribute Name="Description" Value="{description}"/>'
        f'</Attributes><Regions><Region Type="0" Text="{text}"><Vertices><V X="0" Y="0"/><V X="9" Y="0"/>'
        '<V X="9" Y="9"/></Vertices></Region></Regions></Annotation>'
        for n, (name, description, text) in enumerate(layers, 1)
    )
    return f"<Annotations>{body}</Annotations>"


def asap(group, name="Annotation 1", groups=""):
    points = "".join(f'<Coordinate Order="{n}" X="{x}" Y="{y}"/>' for n, (x, y) in enumerate([(0, 0), (9, 0), (9, 9)]))
    return (
        f'<ASAP_Annotations><Annotations><Annotation Name="{name}" Type="Polygon" PartOfGroup="{group}"><Coordinates>'
        f"{points}</Coordinates></Annotation></Annotations><AnnotationGroups>{groups}</AnnotationGroups></ASAP_Annotations>"
    )


def ndpa(title, details):
    points = "".join(f"<point><x>{x}</x><y>{y}</y></point>" for x, y in [(0, 0), (9000, 0), (9000, 9000)])
    return (
        f'<annotations><ndpviewstate id="1"><title>{title}</title><details>{details}</details>'
        f'<annotation type="freehand"><pointlist>{points}</pointlist></annotation></ndpviewstate></annotations>'
    )


def coco(*categories):
    outline = {"image_id": 1, "segmentation": [[0, 0, 9, 0, 9, 9]]}
    annotations = [outline | {"category_id": number} for number in (1, 2)]
    return json.dumps({"images": [{"id": 1}], "annotations": annotations, "categories": list(categories)})


def labelme(**shape):
    return json.dumps({"shapes": [{"points": [[0, 0], [9, 0], [9, 9]], "label": "", **shape}] * 2})


def cvat(label, attribute):
    return (
        f'<annotations><image name="a"><polygon label="{label}" points="0,0;9,0;9,9"><attribute name="kind">{attribute}'
        "</attribute></polygon></image></annotations>"
    )


def geojson(**properties):
    outline = {"type": "Polygon", "coordinates": [[[0, 0], [9, 0], [9, 9], [0, 0]]]}
    return json.dumps({"type": "Feature", "geometry": outline, "properties": properties})


def svg(attributes, shape_id="", title=""):
    shape = f'<polygon id="{shape_id}" points="0,0 9,0 9,9">{title}</polygon>'
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:inkscape="http://www.inkscape.org/namespaces/inkscape">'
        f"<g {attributes}>{shape}</g></svg>"
    )


@pytest.mark.parametrize(
    ("suffix", "text", "found"),
    [
        ("xml", imagescope(("", "Stroma", "")), ["Stroma"]),
        ("xml", imagescope(("Layer 1", "Stroma", "")), ["Stroma"]),
        ("xml", imagescope(("", "", "Stroma"), ("", "", "Tumor")), ["Stroma", "Tumor"]),
        ("xml", imagescope(("", "", ""), ("", "", "")), ["layer 1", "layer 2"]),
        ("xml", asap("Stroma"), ["Stroma"]),
        ("xml", asap("G", groups='<Group Name="G" PartOfGroup="Stroma"/>'), ["Stroma"]),
        ("xml", asap("Group 1", groups='<Group Name="Group 1" PartOfGroup="None"/>'), ["Group 1"]),
        ("xml", asap("None", "Stroma"), ["Stroma"]),
        ("ndpa", ndpa("Stroma", ""), ["Stroma"]),
        ("ndpa", ndpa("", "Stroma"), ["Stroma"]),
        (
            "json",
            coco({"id": 1, "name": "", "supercategory": "Stroma"}, {"id": 2, "name": "Tumor"}),
            ["Stroma", "Tumor"],
        ),
        ("json", coco(), ["category 1", "category 2"]),
        ("json", labelme(flags={"Stroma": True, "seen": False}), ["Stroma"] * 2),
        ("json", labelme(description="Stroma"), ["Stroma"] * 2),
        ("json", labelme(group_id=4), ["group 4"] * 2),
        ("xml", cvat("object", "Stroma"), ["Stroma"]),
        ("geojson", geojson(name="Stroma"), ["Stroma"]),
        ("geojson", geojson(label="Stroma"), ["Stroma"]),
        ("geojson", geojson(label=2), ["class 2"]),
        ("svg", svg('id="Stroma"'), ["Stroma"]),
        ("svg", svg('id="stroma_2"'), ["stroma_2"]),
        ("svg", svg('id="layer1" inkscape:groupmode="layer" inkscape:label="Layer 2"'), ["Layer 2"]),
        ("svg", svg('inkscape:label="Stroma"'), ["Stroma"]),
        ("svg", svg('data-label="Stroma"'), ["Stroma"]),
        ("svg", svg("", "Stroma"), ["Stroma"]),
        ("svg", svg("", title="<title>Stroma</title>"), ["Stroma"]),
    ],
)
def test_class_is_found_in_whichever_field_it_stands(tmp_path, suffix, text, found):
    (tmp_path / f"a.{suffix}").write_text(text)
    contours = read_contours(tmp_path / f"a.{suffix}", GLASS)
    assert [contour.class_name or contour.layer for contour in contours] == found


@pytest.mark.parametrize("layer", ["Stroma", "stroma 2", "Stroma_1_"])
def test_contour_whose_other_name_is_a_class_is_of_it(layer):
    assert assign_classes([contour("Tumour"), contour(layer=layer)], CLASSES, {}, "a") == ([2, 3], "")


def test_contour_without_a_class_beside_classed_ones_is_left_out_with_a_warning():
    labels, warning = assign_classes([contour("Tumour"), contour()], CLASSES, {}, "a.geojson")
    assert labels == [2, None]
    assert "1 contour without a class was left out" in warning
    assert '--map "=CLASS"' in warning
    assert assign_classes([contour("Tumour"), contour()], CLASSES, {"": 3}, "a") == ([2, 3], "")


@pytest.mark.parametrize("kinds", [{"layer": ("layer 1", "layer 2")}, {"color": ("#ff0000", "#0000ff")}])
def test_several_kinds_without_classes_are_refused_with_the_option(kinds):
    [(field, values)] = kinds.items()
    contours = [contour(**{field: value}) for value in values]
    with pytest.raises(AnnotationError, match=f'of 2 kinds: {values[0]}: 1, .*--map "{values[0]}=CLASS" --map'):
        assign_classes(contours, TWO, {}, "a.xml")
    chosen = dict(zip(values, (3, 2), strict=True))
    assert assign_classes(contours, CLASSES, chosen, "a.xml") == ([3, 2], "")


def test_only_kind_of_contours_is_the_first_class_and_said_where_it_could_be_another():
    assert assign_classes([contour(layer="layer 1")] * 2, TWO, {}, "a") == ([2, 2], "")
    labels, warning = assign_classes([contour()], CLASSES, {}, "a.svg")
    assert (labels, '--map "=CLASS"' in warning) == ([2], True)
    labels, warning = assign_classes([contour(layer="Strma")], TWO, {}, "a.svg")
    assert (labels, '"Strma", which is no class of the project' in warning) == ([2], True)


def test_what_would_be_guessed_on_the_command_line_is_asked_in_the_window():
    assert default_classes([contour("Tumor"), contour()], TWO) == {"Tumor": 2, "": None}
    assert default_classes([contour(layer="layer 1"), contour(layer="layer 2")], TWO) == dict.fromkeys(
        ("layer 1", "layer 2")
    )
    assert default_classes([contour()], CLASSES) == {"": None}
    assert default_classes([contour()], TWO) == {"": 2}


def test_command_line_warns_of_contours_without_a_class(project, tmp_path, capsys):
    outline = {"type": "Polygon", "coordinates": [[[0, 0], [9, 0], [9, 9], [0, 0]]]}
    features = [
        {"type": "Feature", "geometry": outline, "properties": properties}
        for properties in ({"classification": {"name": "Tumor"}}, {})
    ]
    (tmp_path / "a.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    slide = project.slides["case5"].path
    assert main(["add", str(project.folder), slide, "--contours", str(tmp_path / "a.geojson"), "--json"]) == 0
    [warning] = json.loads(capsys.readouterr().out.splitlines()[-1])["warnings"]
    assert warning.startswith("a.geojson: 1 contour without a class was left out")
