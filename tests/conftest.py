"""What every test shares."""

import os

# Before anything imports numpy: several processes with a BLAS pool each would fight for the cores.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
