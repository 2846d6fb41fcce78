import numpy as np
import pytest

from napari_pathseg.errors import ProjectError
from napari_pathseg.geometry import Region
from napari_pathseg.masks import Provenance
from napari_pathseg.masks.edits import fill_from_model, paint
from napari_pathseg.projects.versions import versions
from napari_pathseg.ui.session.cleanup import CleanupRequest, amount_unit
from napari_pathseg.ui.session.selection import SELECTION, SLIDE, VIEW

TUMOUR = 2


@pytest.fixture
def shown(session, tmp_path, slide_files):
    """A session with one slide of 256 x 256 in view."""
    session.new_project(tmp_path / "liver.pathseg")
    session.add_slides(slide_files[:2])
    return session


def labels_of(session):
    return session.mask.read(Region(0, 0, *session.mask.shape))[0]


def ring(session):
    """Paint a tumour with a hole of 100 pixels and a speck of 4."""
    labels = np.zeros(session.mask.shape, np.uint8)
    labels[50:150, 50:150] = TUMOUR
    labels[90:100, 90:100] = 0
    labels[200:202, 200:202] = TUMOUR
    session.refresh_mask(paint(session.mask, Region(0, 0, *session.mask.shape), labels))
    return labels


def found_by_model(session):
    whole = Region(0, 0, *session.mask.shape)
    session.refresh_mask(fill_from_model(session.mask, whole, np.full(session.mask.shape, TUMOUR, np.uint8)))


def clean(session, request):
    """Clean up, and return whether that changed anything."""
    changed = []
    session.editor.clean(request, changed.append)
    session.editor.apply_pending()
    return changed == [True]


def draw(session, *corners):
    session.layers.contours.add_polygons([list(corners)])


def test_holes_on_the_slide_are_filled_in_one_undo_step(shown):
    before = ring(shown)
    assert clean(shown, CleanupRequest(method="holes", label=TUMOUR, amount=0, scope=SLIDE))
    assert (labels_of(shown)[50:150, 50:150] == TUMOUR).all()
    shown.layers.mask.undo()
    np.testing.assert_array_equal(labels_of(shown), before)


def test_amounts_are_in_micrometres_if_the_pixel_size_is_known(session, tmp_path, slide_files):
    session.new_project(tmp_path / "liver.pathseg", mpp=None)
    session.add_slides(slide_files[:1])
    session.require_project().update_slide("case0", mpp=0.5)
    session.show_slide("case0")
    ring(session)
    small, large = (CleanupRequest(method="holes", label=TUMOUR, amount=area, scope=SLIDE) for area in (24.0, 25.0))
    assert not clean(session, small)  # the hole has 25 µm²
    assert clean(session, large)
    assert (amount_unit("holes", 0.5), amount_unit("grow", 0.5), amount_unit("specks", None)) == ("µm²", "µm", "px")


def test_selection_is_the_highlighted_contours_or_all_but_never_the_view(shown):
    with pytest.raises(
        ProjectError, match=r"^Nothing is selected on this slide\. Draw around an area with Select first\.$"
    ):
        shown.selection.resolve_scope(SELECTION)
    draw(shown, [10, 10], [10, 40], [40, 40], [40, 10])
    draw(shown, [100, 100], [100, 120], [120, 120], [120, 100])
    assert len(shown.selection.resolve_scope(SELECTION).shapes) == 2
    shown.layers.contours.selected_data = {1}
    place = shown.selection.resolve_scope(SELECTION)
    assert place.inside(place.box).sum() == 400
    assert shown.selection.resolve_scope(VIEW).inside is None


def test_triangle_reassigns_only_the_pixels_it_covers(shown):
    ring(shown)
    draw(shown, [40, 40], [40, 160], [160, 40])
    shown.editor.clean(CleanupRequest(method="assign", label=TUMOUR, new_label=1, scope=SELECTION))
    labels = labels_of(shown)
    assert (labels[60, 60], labels[140, 140]) == (1, TUMOUR)


def test_predictions_are_accepted_in_a_selection_and_rejected_on_the_slide(shown):
    found_by_model(shown)
    draw(shown, [9.5, 9.5], [9.5, 19.5], [19.5, 19.5], [19.5, 9.5])
    shown.editor.accept(SELECTION)
    assert shown.mask.counts[TUMOUR, Provenance.ACCEPTED] == 100
    shown.editor.reject(SLIDE)
    assert shown.mask.counts[TUMOUR].sum() == 100
    shown.layers.mask.undo()
    assert shown.mask.counts[TUMOUR, Provenance.MODEL] == 256 * 256 - 100


def test_version_is_created_before_a_whole_slide_is_accepted(shown):
    found_by_model(shown)
    shown.editor.accept(SLIDE)
    assert shown.mask.counts[TUMOUR, Provenance.ACCEPTED] == 256 * 256
    assert len(versions(shown.require_project(), "case0")) == 1


def test_locked_class_keeps_its_pixels_and_stays_locked_in_the_project(shown):
    before = ring(shown)
    shown.class_flags.set_locked(TUMOUR, True)
    for method in ("specks", "shrink", "smooth", "assign"):
        shown.editor.clean(CleanupRequest(method=method, label=TUMOUR, amount=20, scope=SLIDE))
    shown.layers.mask.brush_size = 40
    shown.layers.mask.paint((60, 60), 1)
    draw(shown, [55, 55], [55, 80], [80, 80], [80, 55])
    shown.editor.rasterize_outlines(1)
    np.testing.assert_array_equal(labels_of(shown)[before == TUMOUR], TUMOUR)
    folder = shown.require_project().folder
    shown.close()
    shown.open_project(folder)
    assert shown.class_flags.locked == shown.layers.mask.locked_classes == {TUMOUR}
    shown.class_flags.set_locked(TUMOUR, False)
    shown.layers.mask.paint((60, 60), 1)
    assert labels_of(shown)[60, 60] == 1


def test_hidden_class_is_not_drawn_until_it_is_shown_again(shown):
    shown.class_flags.set_hidden(TUMOUR, True)
    colors = shown.layers.mask.colormap.color_dict
    assert (colors[TUMOUR][3], colors[1][3]) == (0, 1)
    shown.show_slide("case1")
    assert shown.class_flags.hidden == {TUMOUR}
    shown.class_flags.set_hidden(TUMOUR, False)
    assert shown.layers.mask.colormap.color_dict[TUMOUR][3] == 1


def test_unknown_locked_classes_in_a_project_lock_nothing(shown):
    with shown.require_project().edit_state() as state:
        state.values["locked"] = [7, "x", None]
    shown.show_slide("case1")
    assert shown.layers.mask.locked_classes == frozenset()


def test_cleanup_without_a_slide_is_refused(session, tmp_path):
    session.new_project(tmp_path / "empty.pathseg")
    with pytest.raises(ProjectError, match="No slide is in view"):
        session.editor.clean(CleanupRequest())
