"""Puts devices of one kind behind a broker into a group, if their topics allow it. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from drivers.mqtt.options import TOPIC_PLACE, MqttDeviceOptions
from drivers.mqtt.speakers import Speaker
from drivers.mqtt.topics import ALL_LEVELS, NAME, NAME_AT_ANY_DEPTH, ONE_LEVEL, topic_pattern
from edge.domain.device_group import NAME_PLACE, identifier_part
from edge.domain.identifier import is_identifier
from edge.domain.settings import DeviceSettings


@dataclass(frozen=True, kw_only=True)
class Kin:
    """Devices of one profile whose topics differ in a name only."""

    profile: str
    # With a place for the name.
    topic: str
    names: tuple[str, ...]


def kinships(speakers: Sequence[Speaker], models: Sequence[DeviceSettings]) -> Iterator[Kin | Speaker]:
    """Return groups, and the devices that stand alone, in the order of the profiles."""
    by_profile = {model.id: model for model in models}
    for profile, members in groupby(sorted(speakers, key=lambda each: each.profile), key=lambda each: each.profile):
        alike = list(members)
        kin = _kin(profile, [speaker.topic for speaker in alike], by_profile[profile])
        yield from alike if kin is None else [kin]


def _kin(profile: str, topics: Sequence[str], model: DeviceSettings) -> Kin | None:
    """Return the group of these topics; None if no pattern tells them from everything else."""
    levels = [topic.split("/") for topic in topics]
    before = _alike(levels)
    after = _alike([list(reversed(each[before:])) for each in levels])
    names = [each[before : len(each) - after] for each in levels]
    is_deep = any(len(name) > 1 for name in names)
    if len(topics) < 2 or not all(names):
        return None
    place = NAME_AT_ANY_DEPTH if is_deep else NAME
    first = levels[0]
    kin = Kin(
        profile=profile,
        topic="/".join([*first[:before], place, *first[len(first) - after :]]),
        names=tuple("/".join(name) for name in names),
    )
    has_braces = any("{" in topic for topic in topics)
    return kin if not has_braces and _is_narrow(kin.topic, model) and _gives_ids(kin) else None


def _alike(levels: Sequence[Sequence[str]]) -> int:
    """Count the levels at the beginning that all have in common, leaving each at least one."""
    shortest = min(map(len, levels))
    count = 0
    while count < shortest - 1 and len({each[count] for each in levels}) == 1:
        count += 1
    return count


def _is_narrow(topic: str, model: DeviceSettings) -> bool:
    """Whether the broker is asked for less than everything."""
    assert isinstance(model.options, MqttDeviceOptions)
    patterns = [topic_pattern(text.replace(TOPIC_PLACE, topic)) for text in model.options.subscribe]
    levels = [pattern.filter.split("/") for pattern in patterns]
    return all(each[0] != ALL_LEVELS and not {ONE_LEVEL, ALL_LEVELS}.issuperset(each) for each in levels)


def group_id(kin: Kin) -> str:
    """Return the template of the ids of a group's members."""
    return f"{kin.profile}-{NAME_PLACE}"


def _gives_ids(kin: Kin) -> bool:
    ids = [group_id(kin).replace(NAME_PLACE, identifier_part(name)) for name in kin.names]
    parts_are_there = all(identifier_part(name) for name in kin.names)
    return parts_are_there and all(map(is_identifier, ids)) and len(set(ids)) == len(ids)
