"""Says what is in force: DeviceDescribed when its content has changed, and the alarm for what is not usable any more."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import NamedTuple

import structlog

from edge.configure.describe import describe, description, draft_description, reference
from edge.configure.effective import load_effective
from edge.domain.author import Author, encode_json
from edge.domain.configuration import DeviceFleet, EffectiveConfiguration, Mistake
from edge.domain.event import EventType
from edge.domain.settings import DeviceSettings
from edge.storage.alarms import OpenAlarm, load_open_alarms, remove_open_alarm, save_open_alarm
from edge.storage.database import Reader
from edge.storage.descriptions import Description, load_descriptions, remove_description, save_description
from edge.storage.outbox import Outbox
from edge.storage.transaction import OutboxTransaction

CONFIGURATION_NOT_USABLE = "configuration_not_usable"
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
            said = await _load_said(transaction)
            for device_id, configuration in configurations.items():
                await self._write(transaction, configuration, mistakes.get(device_id, ()), said)
            for device_id in said.descriptions:
                if device_id not in configurations:
                    await self._retire(transaction, device_id, has_alarm=device_id in said.alarms)

    async def write(self, transaction: OutboxTransaction, configuration: EffectiveConfiguration) -> None:
        """Say what is new of one device, within the commit that brings a valid update into force."""
        await self._write(transaction, configuration, (), await _load_said(transaction))

    async def introduce(self, transaction: OutboxTransaction, device: DeviceSettings, *, connection_id: str) -> None:
        """Describe a device that is none yet; it joins the fleet with the commit.

        An update that was applied to it before it was gone for a while is in force again.
        """
        configurations, mistakes = await load_effective(transaction, [device])
        configuration = configurations[device.id]
        said = await _load_said(transaction)
        await self._write_description(transaction, device, configuration, connection_id, said)
        await self._write_alarm(transaction, configuration, mistakes.get(device.id, ()), said.alarms.get(device.id))
        transaction.on_commit(partial(self._fleet.join, device, configuration, connection_id=connection_id))

    async def _retire(self, transaction: OutboxTransaction, device_id: str, *, has_alarm: bool) -> None:
        """Say of a device that was described that it is none any more. How it was run is kept, should it come back."""
        log.info("device_retired", device_id=device_id)
        if has_alarm:
            body = {"alarm": CONFIGURATION_NOT_USABLE}
            transaction.append(self._author.control(EventType.ALARM_CLEARED, body, device_id=device_id))
            await remove_open_alarm(transaction, device_id, CONFIGURATION_NOT_USABLE)
        transaction.append(self._author.control(EventType.DEVICE_RETIRED, {"reason": "removed"}, device_id=device_id))
        await remove_description(transaction, device_id)

    async def _write(
        self,
        transaction: OutboxTransaction,
        configuration: EffectiveConfiguration,
        mistakes: Sequence[Mistake],
        said: "_Said",
    ) -> None:
        device_id = configuration.device_id
        device = self._fleet.device(device_id)
        assert device is not None, "what is in force is asked for the devices that there are"
        await self._write_description(transaction, device, configuration, self._fleet.connection_id(device_id), said)
        await self._write_alarm(transaction, configuration, mistakes, said.alarms.get(device_id))
        if self._fleet.configuration(device_id) != configuration:
            transaction.on_commit(partial(self._fleet.configure, configuration))

    async def _write_description(
        self,
        transaction: OutboxTransaction,
        device: DeviceSettings,
        configuration: EffectiveConfiguration,
        connection_id: str,
        said: "_Said",
    ) -> None:
        body = describe(device, configuration, connection_id=connection_id)
        described = description(body)
        known = said.descriptions.get(device.id)
        if known is None or known.digest != described.digest:
            transaction.append(draft_description(self._author, configuration, body))
            await save_description(transaction, device.id, described, now_ms=self._author.clock.unix_ms())

    async def _write_alarm(
        self,
        transaction: OutboxTransaction,
        configuration: EffectiveConfiguration,
        mistakes: Sequence[Mistake],
        open_alarm: str | None,
    ) -> None:
        device_id = configuration.device_id
        messages = [mistake.message for mistake in mistakes]
        text = encode_json(messages)
        if messages and open_alarm != text:
            log.error("configuration_not_usable", device_id=device_id, problems=messages)
            message = f"the site file no longer allows what is configured: {'; '.join(messages[:MESSAGES_MAX])}"
            self._append(transaction, EventType.ALARM_RAISED, configuration, message)
            now_ms = self._author.clock.unix_ms()
            await save_open_alarm(transaction, OpenAlarm(device_id, CONFIGURATION_NOT_USABLE, text, now_ms))
        elif not messages and open_alarm is not None:
            self._append(transaction, EventType.ALARM_CLEARED, configuration, None)
            await remove_open_alarm(transaction, device_id, CONFIGURATION_NOT_USABLE)

    def _append(
        self,
        transaction: OutboxTransaction,
        event_type: EventType,
        configuration: EffectiveConfiguration,
        message: str | None,
    ) -> None:
        body = {"alarm": CONFIGURATION_NOT_USABLE, **({} if message is None else {"message": message})}
        draft = self._author.control(
            event_type, body, device_id=configuration.device_id, reference=reference(configuration)
        )
        transaction.append(draft)


class _Said(NamedTuple):
    """What was last said of each device."""

    descriptions: Mapping[str, Description]
    # The body of the alarm that stands.
    alarms: Mapping[str, str]


async def _load_said(reader: Reader) -> _Said:
    alarms = await load_open_alarms(reader)
    return _Said(
        descriptions=await load_descriptions(reader),
        alarms={alarm.device_id: alarm.body for alarm in alarms if alarm.alarm == CONFIGURATION_NOT_USABLE},
    )
