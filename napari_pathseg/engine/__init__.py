"""Networks, training data, training, evaluation and prediction: torch lives here.

Jobs are generators that yield progress and return their result; none depends on a process or a window.  It may import
`projects` and what lies below.  Begin with `training/training.py` or `inference/predict.py`.
"""

import os

from napari_pathseg.engine import events as events  # part of the public API
from napari_pathseg.storage.machine import usable_cores

# Waiting threads of OpenMP that spin make each step ten times slower when another program wants a core; those that
# sleep at once make it a third slower when none does.  Torch reads this when it is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("GOMP_SPINCOUNT", "1000")  # a few microseconds
# It takes a thread for each core of the processor, whatever a container or a job leaves of them.
if usable_cores() < (os.cpu_count() or 1):
    os.environ.setdefault("OMP_NUM_THREADS", str(usable_cores()))
