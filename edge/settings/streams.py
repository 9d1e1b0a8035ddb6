"""The streams' names, filled in: two kinds of events never meet in one stream."""

from collections.abc import Iterator
from dataclasses import fields

from edge.domain.settings import Settings
from edge.settings.document import Table
from edge.settings.problems import Problem


def shared_streams(table: Table, settings: Settings) -> Iterator[Problem]:
    """One mistake for each template that, for this gateway and its devices, gives the name of another one's stream."""
    owners: dict[str, str] = {}
    for item in fields(settings.streams):
        template = getattr(settings.streams, item.name)
        for name in {_name(template, settings, device.id) for device in settings.devices()} or {template}:
            owner = owners.setdefault(name, item.name)
            if owner != item.name:
                place = table.place_of(item.name if item.name in table.values else owner)
                yield place.problem(f"{owner} and {item.name} both name the stream {name!r}")


def _name(template: str, settings: Settings, device_id: str) -> str:
    return template.format(site=settings.site.id, gateway=settings.gateway_id, device=device_id)
