"""What the layers of this plugin are known by: their slide and role in ``layer.metadata[METADATA_KEY]``, not a name."""

METADATA_KEY = "napari_pathseg"
FILE_ROLE = "file"  # of layers that the plugin's reader made from a file, which belong to no project
