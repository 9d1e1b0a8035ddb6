"""What a consumer may rely on in what a whole gateway publishes."""

import json
from dataclasses import replace
from pathlib import Path

from edge.domain.event import EventType
from edge.domain.event_store import NO_STREAM
from edge.domain.reading import Sample
from fakes.collect_site import device, point
from fakes.configure_world import STREAM, update, update_event
from fakes.event_store import FakeEventStore
from fakes.outbox_drafts import all_entries
from fakes.scripted_driver import good
from fakes.whole_gateway import Drivers, running, site, until


async def test_no_sample_comes_before_the_settings_that_it_was_made_under(drivers: Drivers, tmp_path: Path) -> None:
    before = site(tmp_path)
    corrected = device("roof", point(offset=0.5))
    after = replace(before, connections=(replace(before.connections[0], devices=(corrected,)),))
    for settings in (before, after):
        async with running(settings) as gateway:
            # It lies ready before anything runs.
            drivers.made["broker"].arrivals.put_nowait([Sample(device_id="roof", readings={"air_temperature": good()})])
            await until(gateway, EventType.SENSOR_READING_RECEIVED)
            run = str(gateway.author.run)
            entries = [entry for entry in await all_entries(gateway.outbox) if json.loads(entry.metadata)["run"] == run]
            first = {entry.type: entry.position for entry in reversed(entries)}
            assert first[EventType.DEVICE_DESCRIBED] < first[EventType.SENSOR_READING_RECEIVED]


async def test_what_the_site_file_demands_of_updates_is_published_and_asked_for(
    drivers: Drivers, tmp_path: Path, store: FakeEventStore
) -> None:
    settings = site(tmp_path)
    store.append_now(STREAM, [update_event(update(1, device_id="roof"))], NO_STREAM)
    async with running(replace(settings, site=replace(settings.site, require_reason=True))) as gateway:
        loaded = await until(gateway, EventType.SITE_FILE_LOADED)
        assert loaded["site"] == {"name": "", "timeZone": "Europe/Amsterdam", "requireReason": True}
        rejected = await until(gateway, EventType.DEVICE_CONFIGURATION_REJECTED)
        assert [error["path"] for error in rejected["errors"]] == ["changedBy", "reason"]
    assert drivers.made
