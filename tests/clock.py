"""One unit of time for all tests: `MS`, stretched by ASYNCNET_TEST_SLOWNESS on a slow or busy machine."""

import os

MS = 0.001 * float(os.environ.get("ASYNCNET_TEST_SLOWNESS", "1"))
"""One millisecond in seconds, times the slowness of this machine."""
