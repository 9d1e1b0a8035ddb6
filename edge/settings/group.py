"""A device group of the site file: one table for many devices of one kind, whose names make their ids."""

from collections.abc import Mapping, Sequence

from edge.domain.device_group import NAME_PLACE, GroupOptions, is_id_template, member, member_id
from edge.domain.driver import DriverKind
from edge.domain.settings import DeviceGroup, DeviceSettings
from edge.settings.adapt import Checked, adapt
from edge.settings.device import build_device
from edge.settings.document import Place, Table
from edge.settings.problems import Problem
from edge.settings.profile import Profile
from edge.settings.tables import GROUP_KEYS, GroupTable


def build_group(
    table: Table, profile: Profile | None, kind: DriverKind, *, poll_interval_s: float, report: list[Problem]
) -> DeviceGroup | None:
    """Build one group; None after adding every mistake of it to `report`."""
    before = len(report)
    report.extend(id_problems(table))
    # A keyword of Python cannot be the name of a field.
    head = adapt(GroupTable, table.only(*GROUP_KEYS).renamed("except", "exclude"), report)
    template = build_device(table, profile, kind, poll_interval_s=poll_interval_s, report=report, other_keys=GROUP_KEYS)
    if head is None or template is None or len(report) > before:
        return None
    return DeviceGroup(
        template=template,
        names=head.names,
        adopt=head.adopt,
        devices_max=head.devices_max,
        exclude=head.exclude,
    )


def id_problems(table: Table) -> list[Problem]:
    """Say what is wrong with a group's id."""
    group_id = table.values.get("id")
    if not isinstance(group_id, str) or is_id_template(group_id):
        return []
    sentence = f"{group_id!r} is no template of ids: write an id with {NAME_PLACE} in it once, and no other braces"
    return [table.place_of("id").problem(sentence)]


def knows_groups(kind: DriverKind) -> bool:
    """Whether a driver can have device groups."""
    return issubclass(kind.device_options, GroupOptions)


def members(group: DeviceGroup) -> list[DeviceSettings]:
    """Make the devices of the listed names that give an id."""
    return [member(group, name) for name in group.names if member_id(group, name) is not None]


def name_problems(table: Table, group: DeviceGroup, taken: Mapping[str, Place]) -> Sequence[Problem]:
    """Return a mistake for each name with no id, with an id in `taken`, or with options that the driver refuses."""
    problems = []
    for index, name in enumerate(group.names):
        place = table.place_of("names").inner(index)
        device_id = member_id(group, name)
        if device_id is None:
            problems.append(place.problem(f"{name!r} gives no id: it is empty, or longer than 64 characters"))
        elif device_id in taken and taken[device_id] != place:
            line = taken[device_id].problem("").line
            problems.append(place.problem(f"{name!r} gives the id {device_id!r}, which line {line} has already"))
        else:
            options = member(group, name).options
            said = options.mistakes() if isinstance(options, Checked) else ()
            problems.extend(place.problem(f"{name!r}: {sentence}") for sentence in said)
    return problems
