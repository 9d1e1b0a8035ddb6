"""Names that appear behind a connection with device groups: some become devices, the others are listed as seen."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from typing import Protocol

import structlog

from edge.collect.guard import DriverFault, driver_call, text_of
from edge.domain.device_group import member, refusal, with_member
from edge.domain.driver import SEEN_TEXT_LENGTH_MAX, DriverError, GroupDriver, SeenName
from edge.domain.field_types import check_text
from edge.domain.settings import DeviceGroup, DeviceSettings
from edge.storage.errors import CommitFailed

# How many names are remembered, and shown, with the reason why they are no devices.
REFUSED_MAX = 1000
SEEN_MAX = 1000

_log = structlog.get_logger(__name__)


class Registrar(Protocol):
    """Makes devices of names."""

    async def adopt(self, connection_id: str, group: DeviceGroup, name: str) -> bool:
        """Remember, describe and register the device of a name. False: its id is taken. Raises CommitFailed."""


class Adoption:
    """The device groups of one connection."""

    def __init__(
        self,
        *,
        connection_id: str,
        groups: Sequence[DeviceGroup],
        driver: GroupDriver,
        registrar: Registrar,
        find_device: Callable[[str], DeviceSettings | None],
        join: Callable[[str], None],
    ) -> None:
        self._connection_id = connection_id
        # As they are now: with what was adopted among the names.
        self._groups = {group.id: group for group in groups}
        self._driver = driver
        self._registrar = registrar
        self._find_device = find_device
        self._join = join
        # Names that are not dealt with yet; kept, because a driver reports each name once.
        self._postponed: list[tuple[str, str]] = []
        # (group, name) -> why it is no device.
        self._refused: dict[tuple[str, str], str] = {}

    async def take_on_new(self) -> None:
        """Make devices of the names that appeared since the last call, as far as their groups adopt.

        Raises DriverFault, also for the errors that a driver may raise elsewhere: nothing was received.
        """
        with _never_raising():
            appeared = [_newcomer(group, name) for group, name in self._driver.appeared()]
        # A name leaves when it was dealt with: a collector that is cancelled meanwhile may run again.
        self._postponed = list(dict.fromkeys([*self._postponed, *appeared]))
        for item in tuple(self._postponed):
            try:
                await self._take_on(*item)
            except CommitFailed as error:
                _log.warning("adoption_postponed", connection_id=self._connection_id, name=item[1], error=str(error))
                continue
            except DriverFault:
                self._postponed.remove(item)
                raise
            self._postponed.remove(item)
        del self._postponed[REFUSED_MAX:]

    @property
    def is_postponed(self) -> bool:
        """Whether an adoption waits for the disk."""
        return bool(self._postponed)

    async def _take_on(self, group_id: str, name: str) -> None:
        group = self._groups.get(group_id)
        if group is None:
            raise DriverFault(f"a name appeared in {group_id!r}, which is no device group of the connection")
        if name in group.names:
            return
        reason = refusal(group, name, is_taken=lambda device_id: self._find_device(device_id) is not None)
        if reason is None and not await self._registrar.adopt(self._connection_id, group, name):
            reason = f"the id {member(group, name).id} is taken"
        if reason is not None:
            self._refuse(group_id, name, reason)
            return
        self._groups[group_id] = with_member(group, name)
        device = member(group, name)
        self._join(device.id)
        _log.info("device_adopted", connection_id=self._connection_id, device_id=device.id, name=name)
        with _never_raising():
            self._driver.adopt(device)

    def _refuse(self, group_id: str, name: str, reason: str) -> None:
        _log.warning("device_not_adopted", connection_id=self._connection_id, name=name, reason=reason)
        self._refused[group_id, name] = reason
        if len(self._refused) > REFUSED_MAX:
            del self._refused[next(iter(self._refused))]

    def seen(self) -> Sequence[SeenName]:
        """List the names that are no devices, with the reason: ours, where we refused one."""
        try:
            with driver_call():
                told = tuple(islice(self._driver.seen(), SEEN_MAX))
                for item in told:
                    SeenName.check(item)
        except (DriverError, DriverFault) as error:
            _log.debug("seen_names_unknown", connection_id=self._connection_id, error=text_of(error))
            return ()
        return [replace(item, reason=self._refused.get((item.group_id, item.name), item.reason)) for item in told]


@contextmanager
def _never_raising() -> Iterator[None]:
    try:
        with driver_call():
            yield
    except DriverError as error:
        raise DriverFault(f"{type(error).__name__}: {text_of(error)}") from error


def _newcomer(group: DeviceGroup, name: str) -> tuple[str, str]:
    """Return a group's id and a name, each of which is what it must be. Raises TypeError or ValueError."""
    if type(group.id) is not str or type(name) is not str:
        raise TypeError(f"a {type(name).__name__} appeared where a name must be")
    check_text("the name", name, length_max=SEEN_TEXT_LENGTH_MAX)
    return group.id, name
