"""The connections of a first site file: drafted from what a person names, with or without a look at the devices."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from drivers import DriverUnknown
from edge.cli.commission.looking import progress
from edge.cli.commission.site import hook
from edge.domain.commissioning import DraftConnection, FirstDay, Look, Survey
from edge.domain.device_group import identifier_part
from edge.domain.driver import DriverContext, DriverError
from edge.domain.fit import Fit
from edge.domain.identifier import IDENTIFIER_LENGTH_MAX, is_identifier
from edge.domain.settings import DeviceSettings
from edge.settings.specimen import load_specimens

# Asks a person which profile it is, best first; returns None for none of them.
Choose = Callable[[str, Sequence[Fit]], Fit | None]


@dataclass(frozen=True, kw_only=True)
class Named:
    """A connection as a person named it."""

    driver: str
    day: FirstDay
    options: object
    # Without a look.
    draft: DraftConnection


class Ids:
    """Gives each device of a site an id of its own."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def new(self, word: str) -> str:
        """Return an id made of this word."""
        name = identifier_part(word)[: IDENTIFIER_LENGTH_MAX - 4].strip("-_")
        name = name if is_identifier(name) else "device"
        numbered = (name if number == 1 else f"{name}-{number}" for number in range(1, len(self._taken) + 2))
        found = next(candidate for candidate in numbered if candidate not in self._taken)
        self._taken.add(found)
        return found


def best(_what: str, fits: Sequence[Fit]) -> Fit | None:
    """Take the first: there is no person to ask."""
    return fits[0] if fits else None


class FirstLook:
    """Drafts one connection after the other; ids are given once in the whole site."""

    def __init__(self, context: DriverContext, choose: Choose) -> None:
        self._context = context
        self._choose = choose
        self._ids = Ids()
        self._connection_ids = Ids()
        # Connections that could not be looked at, and why.
        self.troubles: dict[str, DriverError | DriverUnknown] = {}

    async def draft(self, named: Named, survey: Survey | None) -> DraftConnection:
        """Draft a connection. One that cannot be opened, or whose driver breaks over it, is drafted without devices."""
        draft = named.draft
        connection_id = self._connection_ids.new(draft.name)
        if survey is not None:
            try:
                with hook(named.driver, "first_day"):
                    draft = await self._seen(named.driver, survey)
            except (DriverError, DriverUnknown) as error:
                self.troubles[connection_id] = error
        return replace(draft, keys={"id": connection_id, "driver": named.driver, **draft.keys})

    async def _seen(self, driver: str, survey: Survey) -> DraftConnection:
        """Look, and show progress at a terminal."""
        with progress(survey.steps, survey.what) as bar:
            return await survey.run(
                Look(
                    context=self._context,
                    models=lambda: self._models(driver),
                    choose=self._choose,
                    new_id=self._ids.new,
                    tick=lambda: bar.update(1),
                )
            )

    def _models(self, driver: str) -> Sequence[DeviceSettings]:
        return [specimen.device for specimen in load_specimens(driver, self._context.folder)]
