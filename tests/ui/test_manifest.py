from pathlib import Path

import pytest
from npe2 import PluginManager, PluginManifest

import napari_pathseg

MANIFEST = Path(napari_pathseg.__file__).with_name("napari.yaml")


@pytest.fixture(scope="module")
def manager():
    manager = PluginManager()
    manager.register(PluginManifest.from_file(MANIFEST))
    return manager


def test_manifest_names_can_be_imported():
    PluginManifest.from_file(MANIFEST).validate_imports()


def test_manifest_uses_each_of_its_commands():
    contributions = PluginManifest.from_file(MANIFEST).contributions
    used = [*contributions.widgets, *contributions.readers, *contributions.writers, *contributions.sample_data]
    assert {command.id for command in contributions.commands} == {item.command for item in used}


def test_installed_plugin_has_this_manifest():
    manager = PluginManager()
    manager.discover()
    assert manager.get_manifest("napari-pathseg").display_name == "napari-pathseg"


@pytest.mark.parametrize(
    "name", ["a.svs", "a.ndpi", "a.TIF", "a.b.2048x2048.tiff", "a.btf", "a.png", "a.jpeg", "a.svg", "a.czi"]
)
def test_napari_offers_the_plugin_for(manager, name):
    assert [reader.command for reader in manager.iter_compatible_readers([name])] == ["napari-pathseg.read"]


@pytest.mark.parametrize("name", ["a.npy", "a.csv", "a.json", "a.py"])
def test_napari_does_not_offer_the_plugin_for(manager, name):
    assert not list(manager.iter_compatible_readers([name]))


@pytest.mark.parametrize(("kind", "suffix"), [("labels", ".tif"), ("labels", ".png"), ("shapes", ".geojson")])
def test_layer_can_be_saved_as(manager, kind, suffix):
    writer, _ = manager.get_writer(f"a{suffix}", [kind])
    assert suffix in writer.filename_extensions


def test_image_layer_is_not_saved_by_the_plugin(manager):
    assert manager.get_writer("a.tif", ["image"])[0] is None
