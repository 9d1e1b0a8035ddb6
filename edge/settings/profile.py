"""Profiles: one TOML file describes a device model (DESIGN section 9)."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from edge.domain.driver import DriverKind
from edge.domain.identifier import is_identifier
from edge.domain.settings import ProfileIdentity
from edge.settings.adapt import adapt, unknown_keys
from edge.settings.document import Place, Table, read_document
from edge.settings.positions import path_text
from edge.settings.problems import Problem
from edge.settings.tables import SITE_POINT_KEYS, LineTable, ProfileTable

# The driver's name of the option that a profile calls `offset`.
RAW_OFFSET = "raw_offset"
_TABLES = ("profile", "defaults", "timing", "read", "exchange", "message", "point")


@dataclass(frozen=True, kw_only=True)
class Profile:
    """A device model, read but not adapted: the keys of the site file are put over its own first."""

    identity: ProfileIdentity
    driver: str
    title: str
    source: str
    # The factory settings of the serial line.
    line: LineTable
    # The driver's device options, `poll_interval_min_s`, `warm_up_s` and `max_silence_s`.
    device: Table
    points: Mapping[str, Table]


def load_profile(file: Path, kind: DriverKind, report: list[Problem]) -> Profile | None:
    """Read a profile, adding its mistakes to `report`; None if it is for another driver.

    A profile with mistakes is as complete as it can be, so that those of the device are reported in the same run.
    Raises ConfigurationInvalid if it is no TOML at all.
    """
    document = read_document(file)
    whole = Table(place=Place(document=document, path=()), values=document.tree)
    report.extend(unknown_keys(whole, _TABLES))
    table = whole.table("profile", report)
    head = adapt(ProfileTable, table, report)
    # If [profile] has mistakes, no Settings are made; the rest is read to report its own.
    head = head or ProfileTable(id=file.stem, version=0, driver=kind.name, title="", source="")
    if head.id != file.stem:
        sentence = f"id is {head.id!r}; it must be the file's name, {file.stem!r}"
        report.append(table.place_of("id").problem(sentence))
    if head.driver != kind.name:
        sentence = f"the profile is for driver {head.driver!r}, the connection has {kind.name!r}"
        report.append(table.place_of("driver").problem(sentence))
        return None
    line, device = _defaults(whole, {item.name for item in fields(kind.device_options)}, report)
    return Profile(
        identity=ProfileIdentity(id=head.id, version=head.version, digest=document.digest),
        driver=head.driver,
        title=head.title,
        source=head.source,
        line=line,
        device=device,
        points=_points(whole, {item.name for item in fields(kind.point_options)}, report),
    )


def _defaults(whole: Table, option_names: set[str], report: list[Problem]) -> tuple[LineTable, Table]:
    """Split [defaults], [timing], [read], [exchange] and [message] into line settings and device options."""
    line_names = {item.name for item in fields(LineTable)}
    known = {
        "defaults": option_names | line_names,
        "timing": option_names | {"poll_interval_min_s", "warm_up_s", "max_silence_s"},
        "read": option_names,
        "exchange": option_names,
        "message": option_names,
    }
    device = Table(place=whole.place.inner("defaults"), values={})
    for name, keys in known.items():
        table = whole.table(name, report)
        report.extend(unknown_keys(table, keys))
        report.extend(
            table.place_of(key).problem(f"{key} is there twice: also as {path_text(device.place_of(key).path)}")
            for key in table.values
            if key in device.values
        )
        device = table.only(*keys).without(*line_names).over(device)
    line = adapt(LineTable, whole.table("defaults", report).only(*line_names), report)
    return line or LineTable(), device


def _points(whole: Table, option_names: set[str], report: list[Problem]) -> dict[str, Table]:
    table = whole.table("point", report)
    points: dict[str, Table] = {}
    for point_id in table.values:
        if not is_identifier(point_id):
            report.append(table.place_of(point_id).problem(f"{point_id!r} is no id: small letters, digits, - and _"))
            continue
        points[point_id] = _point(table.table(point_id, report), option_names, report)
    return points


def _point(point: Table, option_names: set[str], report: list[Problem]) -> Table:
    """Return a point with the driver's names for its keys.

    In a profile `offset` is the device's own, beside `scale`; in a site file it is the correction of one device.
    """
    refused = SITE_POINT_KEYS if RAW_OFFSET in option_names else (*SITE_POINT_KEYS, "offset")
    report.extend(
        point.place_of(key).problem(f"{key} belongs to one device, in the site file")
        for key in refused
        if key in point.values
    )
    if RAW_OFFSET in point.values:
        report.append(point.place_of(RAW_OFFSET).problem(f"{RAW_OFFSET} is called offset in a profile"))
    return point.without(*refused, RAW_OFFSET).renamed("offset", RAW_OFFSET)
