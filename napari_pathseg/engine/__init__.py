"""How a network learns from a project and predicts on a slide; torch lives here."""

import os

# Waiting threads of OpenMP that spin make each step ten times slower when another program
# wants a core; torch reads this when it is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
