import json
from uuid import UUID

from edge.domain.author import Reference
from edge.domain.envelope import Metadata
from edge.domain.event import Numbers
from edge.domain.facts import DeviceRetired, GatewayStopped
from edge.domain.json_form import json_of
from fakes.collect_site import RUN, author
from fakes.virtual_time import VirtualClock

UPDATE = UUID("018f0000-0000-7000-8000-0000000000bb")
NUMBERS = Numbers(position=120_344)


async def test_metadata_holds_only_what_can_differ_from_event_to_event() -> None:
    _, metadata = author(VirtualClock()).control(GatewayStopped(reason="requested")).encode(NUMBERS)
    assert json.loads(metadata) == {"schemaVersion": 1, "run": str(RUN), "position": 120_344}


async def test_the_position_that_the_outbox_adds_makes_the_metadata_whole() -> None:
    reference = Reference(config_version=7, causation_id=UPDATE, correlation_id="order-5")
    retired = DeviceRetired(device_id="bench", reason="removed")
    drafted = author(VirtualClock()).control(retired, reference=reference)
    _, metadata = drafted.encode(NUMBERS)
    assert json.loads(metadata) == json_of(
        Metadata(
            schema_version=1,
            run=RUN,
            config_version=7,
            causation_id=UPDATE,
            correlation_id="order-5",
            position=120_344,
        )
    )
