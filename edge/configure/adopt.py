"""Device groups that adopt: a name that was seen becomes a device for good, before its first sample."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from functools import partial

import structlog

from edge.configure.announce import Announcer
from edge.domain.author import Author
from edge.domain.configuration import DeviceFleet
from edge.domain.device_group import GroupOptions, member, refusal, with_member
from edge.domain.settings import ConnectionSettings, DeviceGroup, Settings
from edge.storage.batch import OutboxTransaction
from edge.storage.outbox import Outbox
from edge.storage.remembered import AdoptedName, load_adopted, remove_adopted, save_adopted

log = structlog.get_logger()


class Registrar:
    """Registers the devices that groups adopt while the gateway runs."""

    def __init__(self, *, outbox: Outbox, author: Author, fleet: DeviceFleet, announcer: Announcer) -> None:
        self._outbox = outbox
        self._author = author
        self._fleet = fleet
        self._announcer = announcer

    async def adopt(self, connection_id: str, group: DeviceGroup, name: str) -> bool:
        """Make the device of a name: in one commit it is remembered and described, and then in the fleet.

        False if another connection was faster and its id is taken. Raises CommitFailed: try again.
        """
        device = member(group, name)
        async with self._outbox.transaction() as transaction:
            # Only within: transactions come one after the other, and the fleet grows with their commits.
            if self._fleet.device(device.id) is not None:
                return False
            adopted = AdoptedName(connection_id, group.id, name)
            await save_adopted(transaction, adopted, now_ms=self._author.clock.unix_ms())
            await self._announcer.introduce(transaction, device, connection_id=connection_id)
        return True


async def restore_adopted(outbox: Outbox, settings: Settings) -> Settings:
    """Return the site with the devices that its groups adopted in earlier runs.

    A name that may not be adopted any more (its group is gone or adopts none, its id is taken, devices_max was lowered,
    the site file has the device itself) is forgotten, with a line in the log. Raises CommitFailed.
    """
    whole, left_out = with_adopted(settings, await load_adopted(outbox.database))
    if left_out:
        async with outbox.transaction() as transaction:
            await _forget(transaction, left_out)
    return whole


async def join_adopted(transaction: OutboxTransaction, settings: Settings, starting: Collection[str]) -> Settings:
    """Do the same within the commit that starts some of the connections of a site.

    Only what these adopted can be forgotten: one that is stopped may be started again.
    """
    whole, left_out = with_adopted(settings, await load_adopted(transaction))
    await _forget(transaction, [item for item in left_out if item[0].connection_id in starting])
    return whole


async def _forget(transaction: OutboxTransaction, left_out: Iterable[tuple[AdoptedName, str]]) -> None:
    for adopted, reason in left_out:
        await remove_adopted(transaction, adopted)
        transaction.on_commit(partial(log.warning, "adopted_device_left_out", **adopted._asdict(), reason=reason))


def with_adopted(settings: Settings, adopted: Sequence[AdoptedName]) -> tuple[Settings, list[tuple[AdoptedName, str]]]:
    """Add what was adopted, the oldest first; return besides what has no place any more, and why."""
    connections = {connection.id: connection for connection in settings.connections}
    taken = {device.id for device in settings.devices()}
    left_out = []
    for item in adopted:
        connection = connections.get(item.connection_id)
        groups = () if connection is None else connection.groups
        group = next((group for group in groups if group.id == item.group_id), None)
        if group is not None and item.name in group.names:
            # The site file lists it meanwhile.
            continue
        reason = "there is no such group" if group is None else refusal(group, item.name, is_taken=taken.__contains__)
        if connection is not None and group is not None and reason is None:
            reason = _replaced(connection, group, item.name)
        if connection is None or group is None or reason is not None:
            left_out.append((item, reason or ""))
            continue
        connections[connection.id] = _with_device(connection, group, item.name)
        taken.add(member(group, item.name).id)
    return replace(settings, connections=tuple(connections.values())), left_out


def _replaced(connection: ConnectionSettings, group: DeviceGroup, name: str) -> str | None:
    """Return the device of the site file that is the same one by another id. It wins: a message must be one sample."""
    options = member(group, name).options
    assert isinstance(options, GroupOptions)
    device_id = next((device.id for device in connection.devices if options.is_same_device(device.options)), None)
    return None if device_id is None else f"it is the device {device_id} now"


def _with_device(connection: ConnectionSettings, group: DeviceGroup, name: str) -> ConnectionSettings:
    return replace(
        connection,
        devices=(*connection.devices, member(group, name)),
        groups=tuple(with_member(group, name) if other is group else other for other in connection.groups),
    )
