"""The options of `init` that name connections; each driver declares its own."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from functools import partial

import click

from drivers import driver_kinds
from edge.cli.commission.answers import answer_of
from edge.cli.commission.first_look import Named
from edge.cli.commission.site import hook_at_work
from edge.domain.commissioning import FirstDay, Way
from edge.domain.driver import DriverKind

DONE = "done"
# Where the ways are kept for the length of one command line.
_KEY = f"{__name__}.ways"


@dataclass(frozen=True, kw_only=True)
class DriverWay:
    """One way to name a connection, and the driver of such connections."""

    kind: DriverKind
    day: FirstDay
    way: Way

    @property
    def has_credential(self) -> bool:
        """Whether a connection of the driver may have a credential."""
        return any(option.name == "credential" for option in fields(self.kind.connection_options))

    def named(self, text: str, *, credential: object) -> Named:
        """Make the connection of an answer. Raises AnswerWrong."""
        with hook_at_work(self.kind.name, "first_day"):
            options = self.way.read(text)
            if credential is not None and self.has_credential:
                options = replace(options, credential=credential)  # type: ignore[type-var]  # a dataclass, as all options
            draft = self.day.draft(options)
        return Named(driver=self.kind.name, day=self.day, options=options, draft=draft)


class WaysCommand(click.Command):
    """A command with an option for each way in which some driver's connections can be named."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Return the options, those of the drivers before those that say how to look."""
        params = super().get_params(ctx)
        taken = {param.name for param in params}
        ways = [item for item in self._ways(ctx).values() if _parameter(item.way.name) not in taken]
        credentials = dict.fromkeys(item.kind.name for item in ways if item.has_credential)
        options: list[click.Parameter] = [
            click.Option([f"--{item.way.name}"], multiple=True, metavar=item.way.metavar, help=item.way.help)
            for item in ways
        ]
        options += [
            click.Option([f"--{name}-credential"], metavar="NAME", help=f"The credential for {name}, user:password.")
            for name in credentials
        ]
        place = next(index for index, param in enumerate(params) if param.name == "scan")
        return [*params[:place], *options, *params[place:]]

    def _ways(self, ctx: click.Context) -> Mapping[str, DriverWay]:
        """Return every way by its name. A third party's way with the name of one of ours is left out."""
        if _KEY not in ctx.meta:
            found: dict[str, DriverWay] = {}
            for kind in driver_kinds(lambda sentence: click.echo(f"warning: {sentence}", err=True)).values():
                for way in () if kind.first_day is None else kind.first_day.ways:
                    assert kind.first_day is not None
                    found.setdefault(way.name, DriverWay(kind=kind, day=kind.first_day, way=way))
            ctx.meta[_KEY] = found
        kept: Mapping[str, DriverWay] = ctx.meta[_KEY]
        return kept


def connections(ctx: click.Context, given: Mapping[str, object], *, asks: bool) -> Iterator[Named]:
    """Read the connections that were given; where there are none, ask for some at a terminal."""
    ways: Mapping[str, DriverWay] = {
        name: item for name, item in ctx.meta[_KEY].items() if isinstance(given.get(_parameter(name)), tuple)
    }

    def read(item: DriverWay, text: str) -> Named:
        return item.named(text, credential=given.get(_parameter(f"{item.kind.name}-credential")))

    is_none_given = True
    for name, item in ways.items():
        texts = given[_parameter(name)]
        assert isinstance(texts, tuple)
        for text in texts:
            is_none_given = False
            yield answer_of(text, name, partial(read, item), "")
    while asks and is_none_given:
        name = click.prompt("Add a connection", type=click.Choice([*ways, DONE]), default=DONE)
        if name == DONE:
            return
        yield answer_of(None, ways[name].way.metavar, partial(read, ways[name]), "")


def _parameter(name: str) -> str:
    return name.replace("-", "_").lower()
