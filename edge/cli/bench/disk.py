"""Where the bench keeps its files: on a disk, or fsync would cost nothing."""

import os
import tempfile
from pathlib import Path

import click

# Kept over a restart of the machine (hier(7)): hardly ever a file system in memory, as /tmp often is.
ON_DISK = Path("/var/tmp")  # noqa: S108 - the directory made in there has a random name and is private
IN_MEMORY = {"tmpfs", "ramfs"}


def temporary_root() -> Path:
    """Choose a directory, and say so if nothing in it ever reaches a disk."""
    named = os.environ.get("TMPDIR")
    if named:
        root = Path(named)
    elif os.access(ON_DISK, os.W_OK):
        root = ON_DISK
    else:
        root = Path(tempfile.gettempdir())
    if file_system(root) in IN_MEMORY:
        click.echo(f"{root} is in memory: fsync costs nothing there. Name a disk with --directory.", err=True)
    return root


def file_system(directory: Path) -> str:
    """Name the type of the file system that holds a directory; empty where the kernel does not say."""
    try:
        mounts = Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    path = directory.resolve()
    held = [
        (len(fields[1]), fields[2])
        for fields in (line.split() for line in mounts)
        if path == Path(fields[1]) or Path(fields[1]) in path.parents
    ]
    # Of two mounts on the same place the later one is seen.
    return max(enumerate(held), key=lambda item: (item[1][0], item[0]), default=(0, (0, "")))[1][1]
