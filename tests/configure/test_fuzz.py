import json
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from edge.contract.configuration import DeviceConfigurationApplied, DeviceConfigurationRejected
from fakes.configure_world import ANSWERS, World, update_event
from fakes.virtual_time import run_virtual

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
near_updates = st.fixed_dictionaries(
    {
        "deviceId": st.sampled_from(["bench", "roof", "nobody"]) | json_values,
        "configVersion": st.integers(-1, 9) | json_values,
        "configuration": st.fixed_dictionaries(
            {},
            optional={
                "enabled": st.booleans() | json_values,
                "pollIntervalS": st.floats(0, 20) | json_values,
                "points": st.just({"air_temperature": {"offset": 1}}) | json_values,
                "recipe": json_values,
            },
        )
        | json_values,
    },
    optional={"basedOn": st.integers(0, 9) | json_values, "validUntil": json_values, "reason": json_values},
)
encoded = st.one_of(near_updates, json_values).map(lambda value: json.dumps(value).encode())
data = st.binary(max_size=60) | encoded | encoded | st.just(b"[" * 70_000)
metadata = st.just(b"") | st.binary(max_size=20) | st.just(b'{"$correlationId":"\\ud800"}') | encoded


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(data, metadata), min_size=1, max_size=12))
def test_any_bytes_give_exactly_one_answer_that_keeps_the_contract(events: list[tuple[bytes, bytes]]) -> None:
    async def main(directory: Path) -> None:
        world = World(directory)
        asked = [update_event(data, metadata=metadata) for data, metadata in events]
        world.publish(*asked)
        async with world.started() as gateway:
            await gateway.settle(20.0)
            answers: list[dict[str, Any]] = await gateway.written(*ANSWERS)
            for answer in answers:
                model = DeviceConfigurationRejected if "errors" in answer else DeviceConfigurationApplied
                model.model_validate(answer)
            assert Counter(answer["updateEventId"] for answer in answers) == Counter(str(e.event_id) for e in asked)

    with tempfile.TemporaryDirectory() as directory:
        run_virtual(lambda: main(Path(directory)))
