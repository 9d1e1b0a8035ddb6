"""The public loop on which waiting takes no time, under the name that our tests have for it."""

from edge.testing.virtual_time import START_UNIX_MS, VirtualClock, run_virtual

__all__ = ["START_UNIX_MS", "VirtualClock", "run_virtual"]
