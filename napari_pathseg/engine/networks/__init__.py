"""The networks that can be trained, their encoders and initial weights.

It may import torch, the network libraries and `engine.bundle`, but nothing from training or
inference.  Begin with the table in `kinds.py`, then `network.py`, the base class of all networks.
The names in ``__init__.pyi`` are loaded on first use, so that the table can be read without importing torch.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
