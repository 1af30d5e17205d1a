"""Settings for all tests."""

import atexit
import os
import shutil
import tempfile

from hypothesis import HealthCheck, settings

# Set before numpy is imported. With a BLAS thread pool in each of several processes, the pools would compete for cores.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# The settings and the vault of the person who runs the tests stay as they are.
_HOME = tempfile.mkdtemp(prefix="edgemed-tests-")
atexit.register(shutil.rmtree, _HOME, ignore_errors=True)
os.environ |= {"XDG_CONFIG_HOME": _HOME, "XDG_DATA_HOME": _HOME}
# The chat's tests need colour and set their own terminal sizes.
for _name in ("NO_COLOR", "COLUMNS", "LINES"):
    os.environ.pop(_name, None)

# Every run uses the same examples and has no deadline, so neither chance nor a busy machine makes a test fail.
# `pytest --hypothesis-profile=search` looks for new examples.
_PATIENT = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]}
settings.register_profile("same", derandomize=True, database=None, **_PATIENT)
settings.register_profile("search", **_PATIENT)
settings.load_profile("same")
