"""The progress bar of long work: at a terminal only, and never among the results."""

import sys
from contextlib import AbstractContextManager
from typing import Protocol, cast

import click


class Progress(Protocol):
    """How far the work is."""

    def update(self, n_steps: int) -> None:
        """Say that so many steps more are done."""


def progress(steps: int, what: str) -> AbstractContextManager[Progress]:
    """Show progress for the length of the context."""
    bar = click.progressbar(length=steps, label=what, file=sys.stderr, hidden=not sys.stderr.isatty())
    return cast("AbstractContextManager[Progress]", bar)
