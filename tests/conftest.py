"""What every test shares."""

import os

from hypothesis import HealthCheck, settings

# Before anything imports numpy: several processes with a BLAS pool each would fight for the cores.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# The chat is looked at in colour and on terminals of the tests' own, wherever they are run.
for _name in ("NO_COLOR", "COLUMNS", "LINES"):
    os.environ.pop(_name, None)

# The same examples in every run, however long a busy machine takes for one: who made a test fail is who sees it.
# `pytest --hypothesis-profile=search` looks for new ones.
_PATIENT = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]}
settings.register_profile("same", derandomize=True, database=None, **_PATIENT)
settings.register_profile("search", **_PATIENT)
settings.load_profile("same")
