import json

import numpy as np
from PIL import Image
from qtpy.QtWidgets import QStyle, QStyleOptionComboBox

from napari_pathseg.projects.exporting.label_pixels import LABEL_PIXELS
from napari_pathseg.ui.session.import_controller import add_files


def test_export_writes_one_file_per_slide(opened, mask_folder, tmp_path):
    add_files(opened.session, [mask_folder], complete=True)
    opened.export.export_to(tmp_path / "out")
    written = sorted((tmp_path / "out").iterdir())
    assert [path.name for path in written] == [f"case{number}.geojson" for number in range(4)]
    assert json.loads(written[0].read_text())["features"]


def test_label_images_take_the_class_colours_and_a_suffix(opened, mask_folder, tmp_path):
    add_files(opened.session, [mask_folder], complete=True)
    panel = opened.export
    assert not panel.pixels.enabled
    panel.format.value, panel.pixels.value, panel.suffix.value = "mask", "colour", "_seen"
    panel.export_to(tmp_path / "out")
    written = sorted((tmp_path / "out").iterdir())
    assert [path.name for path in written] == [f"case{number}_seen.png" for number in range(4)]
    seen = np.asarray(Image.open(written[0]))
    tumour = opened.session.project.classes.specs[1]
    inside = np.asarray(Image.open(mask_folder / "case0.png")) > 0
    assert ((seen == tumour.rgb).all(axis=-1) == inside).all()


def test_every_kind_of_label_image_is_offered_and_probabilities_of_predictions(opened):
    panel = opened.export
    assert set(panel.pixels.choices) == set(LABEL_PIXELS)
    panel.format.value = "mask"
    assert not panel.probabilities.enabled
    assert panel.probabilities.native.text() == ""  # the label says it
    panel.what.value = "prediction"
    assert panel.probabilities.enabled
    panel.format.value = "geojson"
    assert not panel.probabilities.enabled


def test_no_choice_is_cut_off_in_the_narrow_panel(opened, qtbot):
    opened.sections["export"].set_open(True)
    opened.resize(opened.minimumWidth(), 700)
    for field in (opened.export.what, opened.export.format, opened.export.pixels):
        box, option = field.native, QStyleOptionComboBox()
        box.initStyleOption(option)
        room = box.style().subControlRect(
            QStyle.ComplexControl.CC_ComboBox, option, QStyle.SubControl.SC_ComboBoxEditField, box
        )
        texts = [box.itemText(index) for index in range(box.count())]
        assert max(box.fontMetrics().horizontalAdvance(text) for text in texts) <= room.width()
