"""What the gateway knows of one device while it runs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from edge.collect.availability import Availability, Change
from edge.collect.reporting import Reported
from edge.collect.sample_event import SampleTemplate
from edge.domain.author import Author, Reference
from edge.domain.clock import Moment
from edge.domain.configuration import (
    EffectiveConfiguration,
    silence_max_s,
    site_file_configuration,
)
from edge.domain.reading import Reading
from edge.domain.settable import PointConfiguration
from edge.domain.settings import DeviceSettings, PointSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class InForce:
    """A configuration made ready for the samples that are decoded under it."""

    configuration: EffectiveConfiguration
    points: Mapping[str, tuple[PointSettings, PointConfiguration]]
    template: SampleTemplate
    has_deadband: bool
    # Silence after which a device that speaks when it likes is lost.
    silence_max_s: float


def make_ready(author: Author, device: DeviceSettings, configuration: EffectiveConfiguration) -> InForce:
    """Prepare what samples of a device need under a configuration."""
    # A configuration that was stored before the site file got another point does not know it yet.
    known = {**site_file_configuration(device).points, **configuration.points}
    return InForce(
        configuration=configuration,
        points={point.id: (point, known[point.id]) for point in device.points},
        template=SampleTemplate(author, device, configuration),
        has_deadband=any(known[point.id].deadband > 0 for point in device.points),
        silence_max_s=silence_max_s(device, configuration),
    )


@dataclass
class Counters:
    """What happened to a device's samples and polls in this run; the status shows them under the same names."""

    samples_accepted: int = 0
    samples_refused: int = 0
    # Nothing left to report: all readings inside their dead-bands, or none published.
    samples_suppressed: int = 0
    # Sent again by a sender that missed our acknowledgement: no second event.
    samples_repeated: int = 0
    polls_failed: int = 0
    faults: int = 0


class DeviceState:
    """One device: what is in force for it, what it said last, and whether it answers."""

    # The newest reading of each point, corrected, and when it came (monotonic seconds); a partial sample leaves the
    # others.
    readings: dict[str, Reading]
    read_s: dict[str, float]
    reported: dict[str, Reported]

    def __init__(
        self,
        author: Author,
        settings: DeviceSettings,
        configuration: EffectiveConfiguration,
        *,
        connection_id: str,
        lost_since: Moment | None = None,
        has_alarm: bool = False,
        counters: Counters | None = None,
    ) -> None:
        self._author = author
        self.id = settings.id
        self.settings = settings
        self.connection_id = connection_id
        self.in_force = make_ready(author, settings, configuration)
        self.availability = Availability(is_lost=lost_since is not None)
        # Since when it is lost, as the event says that told it, maybe in an earlier run.
        self.lost_since = lost_since
        self.counters = Counters() if counters is None else counters
        # Faults of the driver in a row.
        self.faults = 0
        # An alarm is open for a fault, from the first until the device is good again; raised in this run or an earlier
        # one.
        self.has_alarm = has_alarm
        self.last_error: str | None = None
        self.readings = {}
        self.read_s = {}
        self.measured_at_ms: int | None = None
        # When it last gave a sign of life, and when its collector last finished with it: seconds of the monotonic
        # clock.
        self.heard_s: float | None = None
        self.cycle_s: float | None = None
        self.reported = {}
        # A device that answers from our start on got its power with this machine, or long before.
        uptime_s = author.clock.uptime_ms() / 1000
        self._warm_s = author.clock.monotonic_s() + max(0.0, settings.warm_up_s - uptime_s)
        self._listener: Callable[[DeviceState], None] | None = None

    @property
    def is_enabled(self) -> bool:
        """Whether its samples are wanted."""
        return self.in_force.configuration.enabled

    @property
    def interval_s(self) -> float:
        """How often it is polled."""
        return self.in_force.configuration.poll_interval_s

    @property
    def reference(self) -> Reference:
        """The configuration in force, for the metadata of events about the device."""
        return Reference.to(self.in_force.configuration)

    @property
    def silence_max_s(self) -> float:
        """How long it may say nothing before it counts as lost."""
        return self.in_force.silence_max_s

    def is_warming_up(self, now_s: float) -> bool:
        """Whether its values mean nothing yet, because its power came a moment ago, as far as one can tell.

        A device does not report when it got its power. The first answer of a lost device may be its first since its
        power came back; one that never was lost is at least as old as this machine. If only the wire was gone, some
        good values are lost: a wrong one would be worse.
        """
        return self.settings.warm_up_s > 0 and (self.availability.is_lost or now_s < self._warm_s)

    def answered(self, now_s: float) -> Change | None:
        """Note a sample that can be used; tells whether the device was lost."""
        self.heard_s = now_s
        # Nearly all samples find nothing to change.
        if self.availability.failures == 0 and not self.availability.is_lost:
            return None
        self.availability, change = self.availability.after_answer()
        self.last_error = None
        return change

    def faulted(self, error: str) -> bool:
        """Note that the driver broke on the device; tells whether it is the first time in a row."""
        self.counters.faults += 1
        self.faults += 1
        self.last_error = error
        return self.faults == 1

    def restored(self, now_s: float) -> None:
        """Note that the device, which was lost, answers again."""
        self.lost_since = None
        self._warm_s = now_s + self.settings.warm_up_s

    def published_readings(self) -> dict[str, Reading]:
        """Return the newest reading of each point that stands in events, in the profile's order."""
        published = (point.id for point in self.settings.points if point.publish)
        return {point_id: self.readings[point_id] for point_id in published if point_id in self.readings}

    def attach(self, listener: Callable[["DeviceState"], None]) -> None:
        """Tell the device's collector of each new configuration."""
        self._listener = listener

    def configure(self, configuration: EffectiveConfiguration) -> None:
        """Put a configuration into force: for the next poll, not for one under way."""
        was_enabled = self.is_enabled
        self.in_force = make_ready(self._author, self.settings, configuration)
        # Values under other settings are other values: each point is reported afresh.
        self.reported.clear()
        if was_enabled != self.is_enabled:
            # A loss that was told stays told; what was only suspected is forgotten.
            is_lost = self.availability.is_lost
            self.availability = replace(self.availability, failures=0) if is_lost else Availability()
            self.heard_s = None
        if self._listener is not None:
            self._listener(self)

    def accepted(self) -> None:
        """Count a sample that is on disk now."""
        self.counters.samples_accepted += 1
