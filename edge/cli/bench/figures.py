"""All figures: their names, their meaning, and the functions that measure them."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import click

from edge.cli.bench import accepted, drain, latency, modbus, mqtt, wear, whole_daemon
from edge.cli.bench.processes import PeerMissing
from edge.cli.bench.run import Measured, Results, Run, Spread, rounded

Measure: TypeAlias = Callable[[Run], Awaitable[Measured]]

__all__ = ["GROUPS", "Figure", "Group", "Results", "Run", "lines", "measure", "selected", "values"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One key of the JSON object."""

    name: str
    meaning: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Figures that one measurement gives."""

    figures: tuple[Figure, ...]
    measure: Measure
    # It mostly waits, and what it measures does not mind another that does.
    is_patient: bool = False


def _group(measure: Measure, *, is_patient: bool = False, **figures: str) -> Group:
    return Group(
        figures=tuple(Figure(name=name, meaning=meaning) for name, meaning in figures.items()),
        measure=measure,
        is_patient=is_patient,
    )


GROUPS = (
    _group(
        accepted.measure,
        accepted_per_s="samples/s from a pushing driver through collector and outbox, each on disk (fsynced)",
    ),
    _group(
        drain.measure,
        drain_per_s="events/s of a backlog of 100,000 over 8 streams, to an event store in a process of its own",
    ),
    _group(
        modbus.measure,
        modbus_points_per_s="points/s from 50 units of 5 points behind one Modbus/TCP host, as fast as they can be asked",
        modbus_cpu_s_per_1000="CPU seconds of the gateway per 1,000 points, each unit asked every 100 ms",
        modbus_lateness_p99_s="from a poll's moment to its answer, 99 of 100, each unit asked every 100 ms",
    ),
    _group(
        mqtt.measure,
        mqtt_per_s="messages/s (QoS 1) of a broker's backlog, each on disk (fsynced) before it is acknowledged",
        mqtt_cpu_s_per_1000="CPU seconds of the gateway per 1,000 of these messages",
    ),
    _group(
        latency.measure,
        latency_p50_s="from measuring to the event at a subscriber of the store, 500 samples/s over 50 devices, half of all",
        latency_p99_s="the same, 99 of 100",
    ),
    _group(
        whole_daemon.measure_steady,
        is_patient=True,
        rss_mb="resident memory of the daemon (10^6 bytes) after 90 s (--long: 10 min) at 100 samples/s over 100 devices",
        link_bytes_per_sample="TCP payload to and from the event store at 100 samples/s over 100 devices, per sample",
    ),
    _group(
        whole_daemon.measure_idle,
        is_patient=True,
        idle_cpu_percent="of one core, ten devices asked every 10 s (the default)",
    ),
    _group(
        whole_daemon.measure_start,
        start_to_ready_s="from starting the process until it answers on its control socket and GatewayStarted is on disk",
    ),
    _group(
        whole_daemon.measure_recovery,
        recovery_s="from kill -9 under 100 samples/s (started again at once) until samples are accepted again",
    ),
    _group(
        wear.measure,
        written_bytes_per_sample="handed to the disk per sample, by samples/s, cursors and retention included (rollups: none yet)",
        stored_bytes_per_sample="growth of the outbox's file per sample, by samples/s",
    ),
)


def selected(name: str | None) -> tuple[Group, ...]:
    """Return the groups that hold a figure; all of them for None."""
    return tuple(group for group in GROUPS if name is None or any(figure.name == name for figure in group.figures))


async def measure(run: Run) -> Results:
    """Measure what is wanted: the patient ones beside one another, then one after the other."""
    results: dict[str, Spread | Mapping[str, Spread]] = {}
    groups = selected(run.wanted)
    async with asyncio.TaskGroup() as tasks:
        for group in groups:
            if group.is_patient:
                tasks.create_task(_measure(group, run, results), name=group.figures[0].name)
    for group in groups:
        if not group.is_patient:
            await _measure(group, run, results)
    # In the order of the list, not that of completion.
    found = [figure.name for group in groups for figure in group.figures]
    return {name: results[name] for name in found if name in results}


async def _measure(group: Group, run: Run, results: dict[str, Spread | Mapping[str, Spread]]) -> None:
    started_s = time.monotonic()
    directory = run.directory / group.figures[0].name
    directory.mkdir()
    names = ", ".join(figure.name for figure in group.figures)
    try:
        results.update(await group.measure(run.within(directory)))
    except PeerMissing as missing:
        click.echo(f"{names}: left out, {missing}", err=True)
        return
    click.echo(f"{names}: took {time.monotonic() - started_s:.0f} s", err=True)
    measured = {figure.name: results[figure.name] for figure in group.figures}
    click.echo("\n".join(lines(measured)), err=True)


def values(results: Results) -> dict[str, float | dict[str, float]]:
    """Return the medians, as `--json` prints them."""
    return {
        name: rounded(result.median)
        if isinstance(result, Spread)
        else {rate: rounded(spread.median) for rate, spread in result.items()}
        for name, result in results.items()
    }


def lines(results: Results) -> list[str]:
    """Write results for people."""
    meanings = {figure.name: figure.meaning for group in GROUPS for figure in group.figures}
    written = []
    for name, result in results.items():
        if isinstance(result, Spread):
            written.append(f"{name:<26}{result}")
        else:
            written += [f"{name:<26}{spread} at {rate} samples/s" for rate, spread in result.items()]
        written.append(f"{'':<26}{meanings[name]}")
    return written
