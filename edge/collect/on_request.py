"""Devices read because somebody asks now: the ports are ours, so nobody else can."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edge.collect.device import DeviceState
from edge.collect.fleet import Fleet
from edge.domain.reading import Reading


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What one device said when it was asked, or what went wrong."""

    readings: Mapping[str, Reading] | None = None
    error: str = ""


async def read_now(fleet: Fleet, device_ids: Sequence[str], *, timeout_s: float) -> dict[str, Told]:
    """Poll devices before their time; what they say is recorded like any other sample.

    Of a device that speaks by itself this is what it said last. Unknown devices are left out.
    """
    known = [device_id for device_id in dict.fromkeys(device_ids) if fleet.device(device_id) is not None]
    told = await asyncio.gather(*(_read(fleet, fleet.state(device_id), timeout_s) for device_id in known))
    return dict(zip(known, told, strict=True))


async def _read(fleet: Fleet, state: DeviceState, timeout_s: float) -> Told:
    if not state.is_enabled:
        return Told(error="is disabled by its configuration")
    connection = fleet.connection(state.connection_id)
    if connection.poll_now is None:
        return _said_last(state)
    heard_s = state.heard_s
    try:
        async with asyncio.timeout(timeout_s):
            await connection.poll_now(state.id)
    except TimeoutError:
        return Told(error=connection.why_unreached(timeout_s))
    if state.heard_s == heard_s:
        return Told(error=state.last_error or "gave no sample")
    return Told(readings=state.published_readings())


def _said_last(state: DeviceState) -> Told:
    if state.settings.is_polled:
        return Told(error="is not polled: its connection is stopped")
    if state.heard_s is None:
        return Told(error="has said nothing yet since the start")
    return Told(readings=state.published_readings())
