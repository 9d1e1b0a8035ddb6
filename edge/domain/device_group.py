"""Many devices of one kind behind a pattern: the names that the pattern captures become devices (DESIGN section 8)."""

import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Protocol, runtime_checkable

from edge.domain.identifier import is_identifier
from edge.domain.settings import ConnectionSettings, DeviceGroup, DeviceSettings

NAME_PLACE = "{name}"
# For editors; `is_id_template` says it all.
ID_TEMPLATE_PATTERN = r"^[a-z0-9_-]*\{name\}[a-z0-9_-]*$"
# A topic may have 65,535 characters; no real name is that long.
NAME_LENGTH_MAX = 200
_FOREIGN = re.compile(r"[^a-z0-9_]+")


@runtime_checkable
class GroupOptions(Protocol):
    """Device options of a driver that knows groups."""

    def for_member(self, name: str) -> object:
        """Return the options of the one device that has this name: the pattern with the name in its place."""

    def is_same_device(self, other: object) -> bool:
        """Whether a device with these other options is the same thing: its messages come from the same place."""


def is_id_template(text: str) -> bool:
    """Whether a text makes ids of names: `{name}` once, no other braces, and else what an id may hold."""
    return text.count(NAME_PLACE) == 1 and is_identifier(text.replace(NAME_PLACE, "x"))


def identifier_part(name: str) -> str:
    """Return a captured name as a part of an id: `Bench 3/left` is `bench-3-left`."""
    return _FOREIGN.sub("-", name.lower()).strip("-")


def member_id(group: DeviceGroup, name: str) -> str | None:
    """Return the device id that a name gets; None if that would be no id (empty or too long)."""
    part = identifier_part(name)
    device_id = group.id.replace(NAME_PLACE, part)
    return device_id if part and is_identifier(device_id) else None


def member(group: DeviceGroup, name: str) -> DeviceSettings:
    """Make the device of a name. The name must have an id (`member_id`)."""
    device_id = member_id(group, name)
    assert device_id is not None
    options = group.template.options
    assert isinstance(options, GroupOptions)
    title = group.template.name.replace(NAME_PLACE, name) if group.template.name else name
    serial_number = group.template.serial_number.replace(NAME_PLACE, name)
    return replace(
        group.template, id=device_id, name=title, serial_number=serial_number, options=options.for_member(name)
    )


def refusal(group: DeviceGroup, name: str, *, is_taken: Callable[[str], bool]) -> str | None:
    """Say why a group does not adopt a name; None if it does. `is_taken` tells whether some device has an id."""
    if not group.adopt:
        return "not in names"
    device_id = member_id(group, name)
    if device_id is None or len(name) > NAME_LENGTH_MAX:
        return "gives no id"
    if is_taken(device_id):
        return f"the id {device_id} is taken"
    if len(group.names) >= group.devices_max:
        return f"devices_max = {group.devices_max} is reached"
    return None


def with_member(group: DeviceGroup, name: str) -> DeviceGroup:
    """Return the group with one more name."""
    return replace(group, names=(*group.names, name))


def possible_member(connections: Iterable[ConnectionSettings], device_id: str) -> DeviceSettings | None:
    """Return what a device is, but for its name and options, that a group may have adopted under this id; else None.

    For verbs, which know the site file only: only the daemon knows which names were seen.
    """
    for group in (group for connection in connections for group in connection.groups if group.adopt):
        before, _, after = group.id.partition(NAME_PLACE)
        part = device_id.removeprefix(before).removesuffix(after)
        if part and identifier_part(part) == part and member_id(group, part) == device_id:
            return replace(group.template, id=device_id)
    return None
