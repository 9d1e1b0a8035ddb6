"""`check SITE.toml`: every mistake with its line. `schema`: for editors."""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edge.cli import EXIT_CONFIGURATION

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from edge.domain.driver import DriverKind
    from edge.domain.settings import Settings
    from edge.settings.problems import Problem
    from edge.settings.schema import Schema


@click.command()
@click.argument("site_file", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print mistakes and warnings as one JSON object.")
def check(site_file: Path, *, as_json: bool) -> None:
    """Say every mistake of a site file and of the profiles it names, as `file:line:column: path: message`.

    Warnings are what is allowed and yet fails in the field. Exit codes: 0 no mistakes, 78 mistakes.
    """
    from edge.settings.problems import ConfigurationInvalid
    from edge.settings.site import SiteReader

    reader = SiteReader(site_file)
    settings, mistakes = None, []
    try:
        settings = reader.read()
    except ConfigurationInvalid as error:
        mistakes = error.problems
    if as_json:
        found = {"file": str(site_file), "valid": settings is not None, **_facts(settings)}
        found |= {"mistakes": _records(mistakes), "warnings": _records(reader.cautions)}
        click.echo(json.dumps(found, indent=2, ensure_ascii=False))
    else:
        _tell(site_file, settings, mistakes, reader.cautions)
    if settings is None:
        sys.exit(EXIT_CONFIGURATION)


def _tell(
    site_file: Path, settings: "Settings | None", mistakes: "Sequence[Problem]", cautions: "Sequence[Problem]"
) -> None:
    for mistake in mistakes:
        click.echo(mistake, err=True)
    for caution in cautions:
        click.echo(caution.text(severity="warning"), err=True)
    if settings is not None:
        facts = ", ".join(f"{number} {name[:-1] if number == 1 else name}" for name, number in _facts(settings).items())
        click.echo(f"{site_file}: no mistakes ({facts})")


def _facts(settings: "Settings | None") -> dict[str, int]:
    if settings is None:
        return {}
    devices = settings.devices()
    points = sum(len(device.points) for device in devices)
    facts = {"connections": len(settings.connections), "devices": len(devices), "points": points}
    # The listed names of groups count as devices; the names that they may adopt are not known yet.
    groups = sum(len(connection.groups) for connection in settings.connections)
    return {**facts, "groups": groups} if groups else facts


def _records(problems: "Sequence[Problem]") -> list[dict[str, object]]:
    return [{**asdict(problem), "file": str(problem.file)} for problem in problems]


@click.command()
@click.option("--profile", is_flag=True, help="The schema of profiles instead of site files.")
def schema(*, profile: bool) -> None:
    """Print the JSON Schema of site files, for editors that know `#:schema` lines.

    A third party's driver that cannot be used is left out, with a warning.
    """
    from drivers import driver_kinds
    from edge.settings.schema import profile_schema, site_schema

    make = profile_schema if profile else site_schema
    kinds = {name: kind for name, kind in driver_kinds(_warn).items() if _has_schema(kind, make)}
    click.echo(json.dumps(make(kinds), indent=2, ensure_ascii=False))


def _has_schema(kind: "DriverKind", make: "Callable[[Mapping[str, DriverKind]], Schema]") -> bool:
    from drivers import DriverUnknown, foreign_code

    try:
        with foreign_code(kind.name, "has options without a schema"):
            json.dumps(make({kind.name: kind}))
    except DriverUnknown as error:
        _warn(str(error))
        return False
    return True


def _warn(sentence: str) -> None:
    click.echo(f"warning: {sentence}", err=True)
