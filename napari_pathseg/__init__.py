"""napari-pathseg: outline, train, correct on whole slides.

The names in ``__init__.pyi`` are the public Python API.  Each is loaded on first use, so that
importing this package loads neither torch nor Qt.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
