"""`profiles`: the device models that are known, and what each says."""

import json
import sys
from dataclasses import MISSING, fields
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING

import click

from edge.cli import EXIT_CONFIGURATION, EXIT_USAGE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from edge.domain.event import Json
    from edge.domain.settings import PointSettings
    from edge.settings.profile_places import ProfilePlaces
    from edge.settings.specimen import Specimen

# Columns that a page takes, where its points allow it.
WIDTH = 100


@click.command()
@click.argument("name", required=False)
@click.option("--driver", help="Only the profiles of this driver.")
@click.option(
    "--beside",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(),
    help="A site file's folder: its own profiles are listed, too.",
)
@click.option("--toml", "as_toml", is_flag=True, help="Print the profile's file, to start one of your own from.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def profiles(name: str | None, driver: str | None, folder: Path, *, as_toml: bool, as_json: bool) -> None:
    """List the device models, or show one: its points, units, defaults, and where the facts come from.

    Exit codes: 0 done, 2 there is no such profile, 78 it has mistakes.
    """
    from edge.settings.problems import ConfigurationInvalid
    from edge.settings.profile_places import ProfilePlaces
    from edge.settings.specimen import ProfileUnknown, load_specimen

    if as_toml and name is None:
        raise click.UsageError("--toml needs the NAME of a profile")
    try:
        if name is None:
            _list(ProfilePlaces(folder), driver, as_json=as_json)
            return
        specimen = load_specimen(name, folder)
    except ProfileUnknown as error:
        click.echo(error, err=True)
        sys.exit(EXIT_USAGE)
    except ConfigurationInvalid as error:
        click.echo(error, err=True)
        sys.exit(EXIT_CONFIGURATION)
    if as_toml:
        click.echo(specimen.found.file.read_text(encoding="utf-8"), nl=False)
    elif as_json:
        click.echo(json.dumps(_record(specimen), indent=2, ensure_ascii=False))
    else:
        click.echo("\n".join(_page(specimen)))


def _list(places: "ProfilePlaces", driver: str | None, *, as_json: bool) -> None:
    rows = []
    for name, found in places.all().items():
        head = _head(found.file)
        if head is not None and driver in {None, head.get("driver")}:
            said = {key: str(head.get(key, "")) for key in ("driver", "title")}
            rows.append({"id": name, **said, "origin": found.origin})
        for other in places.passed_over(name):
            click.echo(f"warning: {other.file}: not used; {name!r} is that of {found.origin}", err=True)
    for sentence in places.broken():
        click.echo(f"warning: {sentence}", err=True)
    if as_json:
        click.echo(json.dumps({"profiles": rows}, indent=2, ensure_ascii=False))
        return
    width = max((len(row["id"]) for row in rows), default=0)
    for row in rows:
        click.echo(f"{row['id']:<{width}}  {row['driver']:<9}  {row['title']}{_origin(row['origin'])}")


def _head(file: Path) -> "dict[str, object] | None":
    """Return what a profile says of itself; None after saying why it cannot be read."""
    import tomllib

    try:
        head = tomllib.loads(file.read_text(encoding="utf-8")).get("profile")
    except (OSError, ValueError) as error:
        click.echo(f"{file}: {error}", err=True)
        return None
    return head if isinstance(head, dict) else {}


def _origin(origin: str) -> str:
    """Say where a profile comes from, where that is not our own package."""
    from edge.settings.profile_places import OURS, SITE

    return "" if origin == OURS else f"  (of {'the site' if origin == SITE else origin})"


def _page(specimen: "Specimen") -> "Iterator[str]":
    profile, device = specimen.profile, specimen.device
    yield f"{profile.identity.id}: {profile.title}"
    identity = f"version {profile.identity.version}, {profile.identity.digest[:19]}…"
    yield f"driver {profile.driver}, {identity}{_origin(specimen.found.origin)}"
    yield from _wrapped(f"source: {profile.source}")
    facts = _facts(specimen)
    if facts:
        yield from _wrapped("unless said otherwise: " + ", ".join(f"{key} = {_text(facts[key])}" for key in facts))
    if specimen.open_options:
        yield f"to be said for each device: {', '.join(sorted(specimen.open_options))}"
    yield ""
    rows = [("point", "quantity", "unit", "range", "where"), *(_row(point) for point in device.points)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    indent = " " * (2 + sum(widths) + 2 * len(widths))
    for row in rows:
        head = "  " + "".join(f"{text:<{width}}  " for text, width in zip(row, widths, strict=False))
        yield from wrap(head + row[-1], max(WIDTH, len(indent) + 20), subsequent_indent=indent) or [head.rstrip()]
    if not all(point.publish for point in device.points):
        yield "  * read, but not published"


def _wrapped(text: str) -> "list[str]":
    return wrap(text, WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)


def _row(point: "PointSettings") -> tuple[str, str, str, str, str]:
    limits = "" if point.range is None else f"{point.range.low:g} to {point.range.high:g}"
    # A quantity that the id says already is not said twice.
    quantity = "" if point.quantity == point.id else point.quantity or point.type.value
    return point.id + ("" if point.publish else " *"), quantity, point.unit or "", limits, _where(point)


def _where(point: "PointSettings") -> str:
    """Where the value stands, the place first: `input 3 uint16`, `field 0`, a path; then what else is said of it."""
    said = _said(point.options)
    place = [str(said.pop(key)) for key in ("table", "address", "type", "path") if key in said]
    if "field" in said:
        place = [f"field {said.pop('field')}"]
    others = (f"{key} = {_text(value)}" for key, value in said.items())
    return ", ".join([*([" ".join(place)] if place else []), *others])


def _facts(specimen: "Specimen") -> "dict[str, Json]":
    """What the profile says of line and device beyond the driver's defaults."""
    device = specimen.device
    facts: dict[str, Json] = {
        item.name: value
        for item in fields(specimen.profile.line)
        if (value := getattr(specimen.profile.line, item.name)) is not None
    }
    facts |= {key: value for key, value in _said(device.options).items() if key not in specimen.open_options}
    if device.poll_interval_min_s:
        facts["poll_interval_min_s"] = device.poll_interval_min_s
    if device.warm_up_s:
        facts["warm_up_s"] = device.warm_up_s
    return facts


def _said(options: object) -> "dict[str, Json]":
    """The options that are not at their defaults, as JSON has them."""
    said: dict[str, Json] = {}
    for item in fields(options):  # type: ignore[arg-type]  # every option class is a dataclass
        value = getattr(options, item.name)
        default = item.default_factory() if item.default_factory is not MISSING else item.default
        if value != default:
            said["offset" if item.name == "raw_offset" else item.name] = _plain(value)
    return said


def _plain(value: object) -> "Json":
    if isinstance(value, bool | int | float | str) or value is None:
        return value
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(inner) for inner in value]
    return _said(value)


def _text(value: "Json") -> str:
    return json.dumps(value, ensure_ascii=False)


def _record(specimen: "Specimen") -> "dict[str, Json]":
    profile = specimen.profile
    points: Sequence[Json] = [
        {
            "id": point.id,
            "quantity": point.quantity,
            "type": point.type.value,
            "unit": point.unit,
            "range": None if point.range is None else [point.range.low, point.range.high],
            "publish": point.publish,
            "options": _said(point.options),
        }
        for point in specimen.device.points
    ]
    return {
        "id": profile.identity.id,
        "version": profile.identity.version,
        "digest": profile.identity.digest,
        "driver": profile.driver,
        "title": profile.title,
        "source": profile.source,
        "file": str(specimen.found.file),
        "origin": specimen.found.origin,
        "defaults": _facts(specimen),
        # Said for each device, in the site file.
        "open": sorted(specimen.open_options),
        "points": points,
    }
