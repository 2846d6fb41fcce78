import pytest

from napari_pathseg.classes import DEFAULT_CLASSES, class_table
from napari_pathseg.errors import ProjectError


def test_default_classes_are_background_and_tumour():
    assert [(spec.index, spec.name) for spec in DEFAULT_CLASSES] == [(1, "Background"), (2, "Tumour")]


def test_american_spelling_finds_the_same_class():
    assert DEFAULT_CLASSES.find("tumor").name == "Tumour"


def test_added_class_keeps_the_indices_of_the_others():
    table = DEFAULT_CLASSES.add("Necrosis", "#323232")
    assert [spec.index for spec in table] == [1, 2, 3]
    assert table.named("necrosis").rgb == (0x32, 0x32, 0x32)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([("Background", None)], "has 1 classes; it needs 2"),
        ([("Background", None), ("background", None)], 'Class 2 is named "background"'),
        ([("Background", None), ("Tumour", "red")], 'colour of class "Tumour" is "red"; write it as #rrggbb'),
    ],
)
def test_malformed_class_table_is_refused(entries, message):
    with pytest.raises(ProjectError, match=message):
        class_table(entries)
