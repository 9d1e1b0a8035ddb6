"""The events of a run before its first sample, and the alarms of earlier runs that it clears."""

import platform
import sqlite3
from collections.abc import Iterable, Sequence

from edge import __version__
from edge.domain.alarm import AlarmIdentity, AlarmKind, OpenAlarm
from edge.domain.author import Author
from edge.domain.event import Draft
from edge.domain.facts import GatewayStarted, LoadedDevice, LoadedSite, SiteFileLoaded
from edge.domain.settings import ConnectionSettings, Settings
from edge.storage.outbox import Outbox
from edge.storage.placement import Damage
from edge.storage.remembered import OpenAlarms


def first_events(settings: Settings, author: Author, outbox: Outbox) -> list[Draft]:
    """Draft them in their order."""
    return [
        _started(author, outbox),
        _site_file_loaded(settings, author),
        *_damage_found(author, outbox.damage, outbox.alarms),
        *alarms_without_place(author, settings.connections, outbox.alarms),
    ]


def _started(author: Author, outbox: Outbox) -> Draft:
    started = GatewayStarted(
        producer=f"greenhouse-edge/{__version__}",
        boot_id=author.boot_id,
        python=platform.python_version(),
        sqlite=sqlite3.sqlite_version,
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        previous_run=outbox.previous_run,
    )
    return author.control(started)


def _site_file_loaded(settings: Settings, author: Author) -> Draft:
    devices = tuple(
        LoadedDevice(device_id=device.id, connection_id=connection.id, driver=connection.driver)
        for connection in settings.connections
        for device in connection.devices
    )
    named = settings.site
    site = LoadedSite(name=named.name, time_zone=named.time_zone, require_reason=named.require_reason)
    return author.control(SiteFileLoaded(site=site, file=settings.file.name, digest=settings.digest, devices=devices))


def _damage_found(author: Author, damage: Sequence[Damage], alarms: OpenAlarms) -> list[Draft]:
    found = {AlarmIdentity(alarm=AlarmKind.OUTBOX_DAMAGED, stream=item.stream): item.message for item in damage}
    standing = [alarm.identity for alarm in alarms if alarm.identity.alarm == AlarmKind.OUTBOX_DAMAGED]
    return [
        *(author.alarm_raised(identity, message) for identity, message in found.items()),
        *(author.alarm_cleared(identity) for identity in standing if identity not in found),
    ]


def alarms_without_place(
    author: Author, connections: Sequence[ConnectionSettings], alarms: Iterable[OpenAlarm]
) -> list[Draft]:
    """Clear the alarms of what is not behind a connection any more: nothing comes through it that would."""
    places = {
        (connection.id, device_id)
        for connection in connections
        if connection.is_used
        for device_id in (None, *(device.id for device in connection.devices))
    }
    return [
        author.alarm_cleared(alarm.identity)
        for alarm in alarms
        if alarm.identity.connection_id is not None
        and (alarm.identity.connection_id, alarm.identity.device_id) not in places
    ]
