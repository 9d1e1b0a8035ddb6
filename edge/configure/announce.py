"""Publishes what is in force: DeviceDescribed when it has changed, and the alarm for what is not usable any more.

From a DeviceDescribed alone a third party can write a valid update, and tell silent from absent.
"""

import hashlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from typing import NamedTuple, TypeVar

import structlog

from edge.configure.effective import effective, load_effective
from edge.domain.alarm import DEVICE_LOST, AlarmIdentity, AlarmKind, OpenAlarm
from edge.domain.author import Author, Reference, encode_json
from edge.domain.configuration import DeviceFleet, EffectiveConfiguration, Mistake, readers_silence_max_s
from edge.domain.description import (
    DescribedPoint,
    DeviceDescribed,
    ProfileReference,
    SettableLimits,
    SettableOfDevice,
    SettableOfPoint,
)
from edge.domain.facts import DeviceRetired
from edge.domain.json_form import json_of
from edge.domain.settable import Part, PointConfiguration, Remote, permitted
from edge.domain.settings import DeviceSettings, PointSettings
from edge.storage.batch import OutboxTransaction
from edge.storage.configurations import find_configuration, find_missing
from edge.storage.database import Reader
from edge.storage.outbox import Outbox
from edge.storage.remembered import (
    Description,
    find_description,
    find_open_alarm,
    load_descriptions,
    load_open_alarms,
    remove_description,
    save_description,
)

# The alarm is for a person; all of it is in the log.
MESSAGES_MAX = 5

log = structlog.get_logger()


class Announcer:
    """Keeps the fleet and the published descriptions equal to the database."""

    def __init__(self, *, outbox: Outbox, author: Author, fleet: DeviceFleet) -> None:
        self._outbox = outbox
        self._author = author
        self._fleet = fleet

    async def announce(self) -> None:
        """Put into force what the database holds for every device, and say what is new. Raises CommitFailed."""
        async with self._outbox.transaction() as transaction:
            configurations, mistakes = await load_effective(transaction, self._fleet.all_devices())
            published = await _load_published(transaction)
            for device_id, configuration in configurations.items():
                await self._write(transaction, configuration, mistakes.get(device_id, ()), published)
            for device_id in published.devices():
                if device_id not in configurations:
                    await self._retire(transaction, device_id, published.alarms_of(device_id))

    async def write(self, transaction: OutboxTransaction, configuration: EffectiveConfiguration) -> None:
        """Publish what is new of one device, within the commit that brings a valid update into force."""
        if self._fleet.device(configuration.device_id) is None:
            # It has left since its update was judged. What is stored is in force when it comes back.
            return
        await self._write(transaction, configuration, (), await _find_published(transaction, configuration.device_id))

    async def introduce(self, transaction: OutboxTransaction, device: DeviceSettings, *, connection_id: str) -> None:
        """Describe a device that is none yet; it joins the fleet with the commit.

        An update that was applied to it before it was gone for a while is in force again.
        """
        found = effective(
            device, await find_configuration(transaction, device.id), await find_missing(transaction, device.id)
        )
        configuration = found.configuration
        published = await _find_published(transaction, device.id)
        await self._write_description(transaction, device, configuration, connection_id, published)
        await self._write_alarm(transaction, configuration, found.mistakes, published)
        transaction.on_commit(partial(self._fleet.join, device, configuration, connection_id=connection_id))

    async def retire(self, transaction: OutboxTransaction, device_ids: Collection[str]) -> None:
        """Publish that devices are retired, as far as they were described."""
        published = await _load_published(transaction)
        for device_id in published.devices():
            if device_id in device_ids:
                await self._retire(transaction, device_id, published.alarms_of(device_id))

    async def _retire(self, transaction: OutboxTransaction, device_id: str, alarms: Iterable[OpenAlarm]) -> None:
        """Publish that a described device is retired. Its configuration is kept, in case it comes back.

        Its alarms are cleared before. That it is lost ends with it: a DeviceConnectionRestored would be invented.
        """
        log.info("device_retired", device_id=device_id)
        retired = self._author.control(DeviceRetired(device_id=device_id, reason="removed"))
        for alarm in alarms:
            if alarm.identity.alarm == DEVICE_LOST:
                retired = retired._replace(closes=alarm.identity)
            else:
                await transaction.declare(self._author.alarm_cleared(alarm.identity))
        await transaction.declare(retired)
        await remove_description(transaction, device_id)

    async def _write(
        self,
        transaction: OutboxTransaction,
        configuration: EffectiveConfiguration,
        mistakes: Sequence[Mistake],
        published: "_Published",
    ) -> None:
        device_id = configuration.device_id
        device = self._fleet.device(device_id)
        assert device is not None, "what is in force is asked for the devices that there are"
        await self._write_description(
            transaction, device, configuration, self._fleet.connection_id(device_id), published
        )
        await self._write_alarm(transaction, configuration, mistakes, published)
        if self._fleet.configuration(device_id) != configuration:
            transaction.on_commit(partial(self._fleet.configure, configuration))

    async def _write_description(
        self,
        transaction: OutboxTransaction,
        device: DeviceSettings,
        configuration: EffectiveConfiguration,
        connection_id: str,
        published: "_Published",
    ) -> None:
        described = describe(device, configuration, connection_id=connection_id)
        kept = as_kept(described)
        known = published.descriptions.get(device.id)
        if known is None or known.digest != kept.digest:
            transaction.append(self._author.control(described, reference=Reference.to(configuration)))
            await save_description(transaction, device.id, kept, now_ms=self._author.clock.unix_ms())

    async def _write_alarm(
        self,
        transaction: OutboxTransaction,
        configuration: EffectiveConfiguration,
        mistakes: Sequence[Mistake],
        published: "_Published",
    ) -> None:
        identity = not_usable(configuration.device_id)
        open_alarm = published.alarms.get(identity)
        messages = [mistake.message for mistake in mistakes]
        text = encode_json(messages)
        if messages and open_alarm is not None and open_alarm.body == text:
            return
        about = Reference.to(configuration)
        # What was wrong is mended, or something else is wrong now: then the alarm is cleared and raised again.
        if open_alarm is not None:
            await transaction.declare(self._author.alarm_cleared(identity, reference=about))
        if messages:
            log.error("configuration_not_usable", device_id=configuration.device_id, problems=messages)
            message = f"not all that was configured is in force: {'; '.join(messages[:MESSAGES_MAX])}"
            await transaction.declare(self._author.alarm_raised(identity, message, body=text, reference=about))


def not_usable(device_id: str) -> AlarmIdentity:
    """Return the alarm that says: not all of a device's configuration can be used."""
    return AlarmIdentity(alarm=AlarmKind.CONFIGURATION_NOT_USABLE, device_id=device_id)


class _Published(NamedTuple):
    """The descriptions and alarms of devices that were last published."""

    descriptions: Mapping[str, Description]
    # Open alarms but those about a stream, which are the forwarder's.
    alarms: Mapping[AlarmIdentity, OpenAlarm]

    def devices(self) -> list[str]:
        """Every device with a description or an open alarm."""
        alarmed = (identity.device_id for identity in self.alarms if identity.device_id is not None)
        return list(dict.fromkeys([*self.descriptions, *alarmed]))

    def alarms_of(self, device_id: str) -> list[OpenAlarm]:
        """The open alarms about a device."""
        return [alarm for identity, alarm in self.alarms.items() if identity.device_id == device_id]


async def _find_published(reader: Reader, device_id: str) -> _Published:
    described = await find_description(reader, device_id)
    alarm = await find_open_alarm(reader, not_usable(device_id))
    return _Published(
        descriptions={} if described is None else {device_id: described},
        alarms={} if alarm is None else {alarm.identity: alarm},
    )


async def _load_published(reader: Reader) -> _Published:
    alarms = await load_open_alarms(reader)
    return _Published(
        descriptions=await load_descriptions(reader),
        alarms={alarm.identity: alarm for alarm in alarms if alarm.identity.stream is None},
    )


Said = TypeVar("Said", SettableOfDevice, SettableOfPoint)


def describe(device: DeviceSettings, configuration: EffectiveConfiguration, *, connection_id: str) -> DeviceDescribed:
    """Return what the event says of a device as it is run now."""
    profile = device.profile
    return DeviceDescribed(
        device_id=device.id,
        name=device.name,
        location=device.location,
        serial_number=device.serial_number or None,
        labels=device.labels or None,
        connection_id=connection_id,
        profile=None if profile is None else ProfileReference(id=profile.id, digest=profile.digest),
        enabled=configuration.enabled,
        poll_interval_s=configuration.poll_interval_s if device.is_polled else None,
        expected_interval_s=configuration.poll_interval_s if device.is_polled else None,
        max_silence_s=readers_silence_max_s(device, configuration),
        config_version=configuration.version,
        settable=_settable(SettableOfDevice, Part.DEVICE, device.remote, device),
        points={
            point.id: _point(point, device, configuration.points[point.id])
            for point in device.points
            if point.publish or point.remote
        },
    )


def as_kept(described: DeviceDescribed) -> Description:
    """Return what is kept to find out whether the content has changed."""
    text = encode_json(json_of(described))
    return Description(digest=f"sha256:{hashlib.sha256(text.encode()).hexdigest()}", body=text)


def _point(point: PointSettings, device: DeviceSettings, effective: PointConfiguration) -> DescribedPoint:
    return DescribedPoint(
        quantity=point.quantity,
        type=point.type,
        kind=point.kind,
        unit=point.unit,
        range=None if point.range is None else (point.range.low, point.range.high),
        values=point.texts or None,
        effective=effective,
        published=None if point.publish else False,
        writable=False,
        settable=_settable(SettableOfPoint, Part.POINT, point.remote, device),
    )


def _settable(described: Callable[..., Said], part: Part, remote: Remote, device: DeviceSettings) -> Said:
    """Describe what may be set of a device, or of a point of it."""
    return described(
        **{
            row.attribute: permission is True
            or SettableLimits(min=row.lowest(permission, device), max=permission.maximum)
            for row, permission in permitted(part, remote)
            if device.is_polled or not row.is_of_polling
        }
    )
