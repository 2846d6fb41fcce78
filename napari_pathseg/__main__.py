"""``python -m napari_pathseg``: the command `pathseg`."""

import sys

from napari_pathseg.cli import main

sys.exit(main())
