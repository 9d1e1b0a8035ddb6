"""Options of a look at a connection (units, time), and its progress at a terminal."""

import sys
from contextlib import AbstractContextManager
from typing import Protocol, cast

import click

# Units that devices of some makers answer whatever their own address is; the standard's last unit is 247.
ANY_UNIT_MAX = 255
# Most devices answer within 100 ms, the slowest of the catalogue (an energy meter) within 200.
UNIT_TIMEOUT_MS = 250
LISTEN_S = 15.0


def units_of(text: str) -> list[int]:
    """Read `1-247` or `1,3,10-20`. Raises ValueError."""
    units: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise ValueError(f"{part.strip()!r} is no unit id and no range; write 1-247, or 1,3,10-20")
        low, high = int(first), int(last or first)
        if not 0 <= low <= high <= ANY_UNIT_MAX:
            raise ValueError(f"{part.strip()}: unit ids are from 0 to {ANY_UNIT_MAX}, the lower first")
        units.extend(range(low, high + 1))
    return list(dict.fromkeys(units))


def checked_units(text: str) -> list[int]:
    """Read the option --units. Raises click.BadParameter."""
    try:
        return units_of(text)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--units") from error


class Progress(Protocol):
    """How far the work is."""

    def update(self, n_steps: int) -> None:
        """Say that so many steps more are done."""


def progress(steps: int, what: str) -> AbstractContextManager[Progress]:
    """Show progress for the length of the context: at a terminal only, and never among the results."""
    bar = click.progressbar(length=steps, label=what, file=sys.stderr, hidden=not sys.stderr.isatty())
    return cast("AbstractContextManager[Progress]", bar)
