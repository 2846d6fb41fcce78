import json

from napari_pathseg.ui.session.import_controller import import_annotation_files


def test_export_writes_one_file_per_slide(opened, mask_folder, tmp_path):
    import_annotation_files(opened.session, [mask_folder], complete=True)
    opened.export.export_to(tmp_path / "out")
    written = sorted((tmp_path / "out").iterdir())
    assert [path.name for path in written] == [f"case{number}.geojson" for number in range(4)]
    assert json.loads(written[0].read_text())["features"]
