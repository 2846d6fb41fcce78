"""The networks that can be trained, their encoders and initial weights.

It may import torch, the network libraries and `engine.bundle`; nothing of training or
inference.  Begin with the table in `kinds.py`, then `network.py`, which all networks share.
The names of ``__init__.pyi`` are loaded on first use, so that the table costs no torch.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
