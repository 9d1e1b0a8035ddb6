"""From a driver's sample to the outbox: check, correct, select, draft, offer."""

from collections.abc import Callable, Mapping
from enum import Enum, auto
from typing import NamedTuple
from uuid import UUID

from edge.collect.declarations import Outbox
from edge.collect.device import DeviceState, InForce
from edge.collect.guard import DriverFault
from edge.collect.plausibility import judge, mistake
from edge.collect.reporting import Reported, select
from edge.domain.clock import Clock
from edge.domain.event import Draft
from edge.domain.reading import Origin, Quality, Reading, Reason, Sample, bad


class Outcome(Enum):
    """What became of a sample."""

    OFFERED = auto()
    # There was nothing to report.
    SUPPRESSED = auto()
    # The outbox is full.
    REFUSED = auto()


class Prepared(NamedTuple):
    """A sample on its way: its event, and what is to be remembered once the outbox has taken it."""

    # None: nothing to report.
    draft: Draft | None
    measured_at_ms: int
    reported: Mapping[str, Reading]


class Intake:
    """The way of a sample (DESIGN section 4) from the driver to the outbox's queue. Never waits."""

    def __init__(self, outbox: Outbox, clock: Clock, *, can_wait: bool = False) -> None:
        self._outbox = outbox
        self._clock = clock
        # Whether what was refused is offered again.
        self._can_wait = can_wait
        self._has_offered = False

    def prepare(
        self,
        state: DeviceState,
        in_force: InForce,
        sample: Sample,
        on_accepted: Callable[[], None],
        *,
        repeat_of: UUID | None = None,
    ) -> Prepared:
        """Make a sample's event, under the configuration it was decoded with.

        The event says which one it may repeat, if any. Raises DriverFault for a sample that the device's points do not
        allow.
        """
        if sample.device_id != state.id:
            raise DriverFault(f"a sample of {sample.device_id!r} came for {state.id!r}")
        measured_at_ms = self._clock.unix_ms() if sample.measured_at_ms is None else sample.measured_at_ms
        now_s = self._clock.monotonic_s()
        readings = _judged(in_force, sample, is_cold=sample.origin is Origin.LIVE and state.is_warming_up(now_s))
        # What a device measured in the past says nothing about the present, nor the present about it.
        is_history = sample.origin is Origin.HISTORY
        to_report = readings if is_history else _selected(readings, state, in_force, now_s)
        try:
            draft = in_force.template.draft(
                to_report,
                measured_at_ms=measured_at_ms,
                is_device_time=sample.measured_at_ms is not None,
                origin=sample.origin if repeat_of is None else Origin.REDELIVERED,
                repeat_of=repeat_of,
                source_key=sample.source_key,
                delivery=sample.delivery,
                on_accepted=on_accepted,
            )
        except (ValueError, OverflowError, OSError) as error:
            raise DriverFault(f"a sample that cannot be written: {error}") from error
        if not is_history:
            state.readings.update(readings)
            state.read_s.update(dict.fromkeys(readings, now_s))
            state.measured_at_ms = measured_at_ms
        return Prepared(draft, measured_at_ms, {} if is_history else to_report)

    def offer(self, state: DeviceState, in_force: InForce, prepared: Prepared) -> Outcome:
        """Offer a sample's event to the outbox. May be called again after a refusal."""
        if prepared.draft is None:
            state.counters.samples_suppressed += 1
            return Outcome.SUPPRESSED
        if not self._outbox.offer(prepared.draft, can_wait=self._can_wait):
            return Outcome.REFUSED
        if not self._has_offered and not self._can_wait:
            # The first sample of a start shows that measuring works; it need not wait for others.
            self._outbox.hurry()
        self._has_offered = True
        # Only what was taken counts as said; and only while the settings that made it so are in force.
        if in_force.has_deadband and in_force is state.in_force:
            now_s = self._clock.monotonic_s()
            state.reported.update({point_id: Reported(said, now_s) for point_id, said in prepared.reported.items()})
        return Outcome.OFFERED


def _selected(
    readings: dict[str, Reading], state: DeviceState, in_force: InForce, now_s: float
) -> Mapping[str, Reading]:
    if not in_force.has_deadband:
        return readings
    points = {point_id: in_force.points[point_id][1] for point_id in readings}
    slack_s = in_force.configuration.poll_interval_s / 2
    return select(readings, state.reported, points, now_s=now_s, slack_s=slack_s)


def _judged(in_force: InForce, sample: Sample, *, is_cold: bool) -> dict[str, Reading]:
    readings: dict[str, Reading] = {}
    for point_id, reading in sample.readings.items():
        known = in_force.points.get(point_id)
        if known is None:
            raise DriverFault(f"{sample.device_id} has no point {point_id!r}")
        point, configuration = known
        wrong = mistake(reading, point)
        if wrong is not None:
            raise DriverFault(wrong)
        judged = judge(reading, point, configuration)
        # What is bad already keeps its reason: it will not get better by waiting.
        if is_cold and judged.quality is not Quality.BAD:
            judged = bad(Reason.WARMING_UP, judged.unit)
        readings[point_id] = judged
    return readings
