"""What every measurement is given, and what it gives."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

import click

from edge.cli.bench.spread import Spread

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
