"""Listening in, beside a gateway that runs."""

from contextlib import aclosing

import pytest

from drivers.mqtt.listen import listen
from drivers.mqtt.options import MqttConnectionOptions
from edge.domain.driver import ConnectionLost
from fakes.mosquitto import Mosquitto
from fakes.mqtt_broker import ScriptedBroker, scripted_broker
from fakes.mqtt_connection import CONTEXT, device
from fakes.mqtt_run import driver_at, samples_of, say, send, values


async def test_everything_is_heard_and_the_gateway_misses_nothing(broker: Mosquitto) -> None:
    await send(broker, "house/old", b"1", retain=True)
    driver = driver_at(broker, device("bench", "house/bench"))
    options = MqttConnectionOptions(url=broker.url)
    heard = []
    async with driver.open(), aclosing(listen(options, CONTEXT, ["house/#"], seconds=20)) as messages:
        async for message in messages:
            heard.append((message.topic, message.payload, message.is_retained))
            if message.is_retained:
                await say(broker, 2.0)
            else:
                break
        assert values(await samples_of(driver, 1)) == [2.0]
    assert heard == [("house/old", b"1", True), ("house/bench", b'{"temperature": 2.0}', False)]


async def test_listening_ends_in_time_and_leaves_no_session_behind(broker: Mosquitto) -> None:
    options = MqttConnectionOptions(url=broker.url)
    assert [message async for message in listen(options, CONTEXT, ["#"], seconds=0.05)] == []
    assert "as ge-listen-" in broker.log
    # c1: a clean start.
    assert "(p5, c1, k60)" in broker.log


async def test_what_the_broker_refuses_is_said() -> None:
    async with scripted_broker(ScriptedBroker(suback_code=0x87)) as refusing:
        options = MqttConnectionOptions(url=f"mqtt://127.0.0.1:{refusing.port}")
        with pytest.raises(ConnectionLost, match="refuses the topic secret/#: Not authorized"):
            [message async for message in listen(options, CONTEXT, ["secret/#"], seconds=20)]
