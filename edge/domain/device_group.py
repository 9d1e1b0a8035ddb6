"""Many devices of one kind behind a pattern: the names that the pattern captures become devices (DESIGN section 8)."""

import re
from dataclasses import replace
from typing import Protocol, runtime_checkable

from edge.domain.identifier import is_identifier
from edge.domain.settings import DeviceGroup, DeviceSettings

NAME_PLACE = "{name}"
_FOREIGN = re.compile(r"[^a-z0-9_]+")


@runtime_checkable
class GroupOptions(Protocol):
    """Device options of a driver that knows groups."""

    def for_member(self, name: str) -> object:
        """Return the options of the one device that has this name: the pattern with the name in its place."""


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
    return replace(group.template, id=device_id, name=title, options=options.for_member(name))
