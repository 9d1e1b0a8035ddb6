"""What every measurement is given, a directory on a real disk, and what it gives, figures with their spread."""

import os
import statistics
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

import click

# Kept over a restart of the machine (hier(7)): hardly ever a file system in memory, as /tmp often is.
ON_DISK = Path("/var/tmp")  # noqa: S108 - the directory made in there has a random name and is private
IN_MEMORY = {"tmpfs", "ramfs"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """A figure is not a number: the median of some repeats, and the least and the most of them."""

    median: float
    low: float
    high: float
    repeats: int

    def __str__(self) -> str:
        if self.repeats == 1:
            return f"{short(self.median)} (measured once)"
        return f"{short(self.median)} ({short(self.low)} to {short(self.high)} over {self.repeats})"


def spread_of(values: Iterable[float]) -> Spread:
    """Gather repeats."""
    repeats = sorted(values)
    return Spread(median=statistics.median(repeats), low=repeats[0], high=repeats[-1], repeats=len(repeats))


def quantile(values: Iterable[float], share: float) -> float:
    """Return the value below which this share of all lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def rounded(value: float) -> float:
    """Keep four significant digits: the rest is chance."""
    return float(f"{value:.4g}")


def short(value: float) -> str:
    """Write a value with four significant digits, large ones without exponent."""
    return f"{rounded(value):,.10g}"


# By the figures' names; some have a value for each of several rates (samples per second).
Measured: TypeAlias = Mapping[str, Spread | Mapping[str, Spread]]
Results: TypeAlias = Measured


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run of the bench."""

    # Empty, on a real disk, removed afterwards.
    directory: Path
    is_long: bool = False
    # The one figure that is asked for; None = all.
    wanted: str | None = None

    def within(self, directory: Path) -> "Run":
        """Return the same run in another directory."""
        return replace(self, directory=directory)

    def say(self, text: str) -> None:
        """Tell how it goes."""
        click.echo(f"  {text}", err=True)


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
