"""What an update changes, value by value. Pure."""

from collections.abc import Iterator

from edge.domain.configuration import Change, EffectiveConfiguration, PointConfiguration


def changes(before: EffectiveConfiguration, after: EffectiveConfiguration) -> tuple[Change, ...]:
    """Compare two configurations of one device; the paths are those of an update."""
    old, new = dict(_values(before)), dict(_values(after))
    return tuple(
        Change(path=path, before=old[path], after=value)
        for path, value in new.items()
        # A point that the site file got in between has no value from before.
        if path in old and old[path] != value
    )


def _values(configuration: EffectiveConfiguration) -> Iterator[tuple[str, float | bool]]:
    yield "enabled", configuration.enabled
    yield "pollIntervalS", configuration.poll_interval_s
    for point_id, point in configuration.points.items():
        for key, value in _point_values(point):
            yield f"points.{point_id}.{key}", value


def _point_values(point: PointConfiguration) -> Iterator[tuple[str, float]]:
    yield "offset", point.offset
    yield "gain", point.gain
    yield "deadband", point.deadband
    yield "maxSilenceS", point.max_silence_s
