"""Real peers on this machine: found, or the test is skipped, visibly; in CI a missing one is a failure."""

import os
import shutil
import subprocess
from typing import NoReturn

import pytest

# Debian puts daemons where an ordinary user's PATH does not look.
_PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])


def peer(command: str) -> str:
    """Return the full path of a program that a test needs."""
    found = shutil.which(command, path=_PATH)
    if found is None:
        missing(f"{command} is not installed (see `make peers`)")
    return found


def peer_library(name: str) -> list[str]:
    """Return the compiler's flags for a C library that a test needs."""
    done = subprocess.run(
        [peer("pkg-config"), "--cflags", "--libs", name], capture_output=True, text=True, check=False, timeout=10
    )
    if done.returncode != 0:
        missing(f"{name} is not installed (see `make peers`)")
    return done.stdout.split()


def missing(what: str) -> NoReturn:
    """Skip the test; in CI fail it."""
    if os.environ.get("CI"):
        pytest.fail(f"{what}, and CI needs it")
    pytest.skip(what)
