"""Networks, training data, training, evaluation and prediction: torch lives here.

Jobs are generators that yield progress and return their result; none depends on a process or a window.  It may import
`projects` and what lies below.  Begin with `training/training.py` or `inference/predict.py`.
"""

import os

from napari_pathseg.engine import events as events  # part of the public API

# Waiting threads of OpenMP that spin make each step ten times slower when another program
# wants a core; torch reads this when it is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
