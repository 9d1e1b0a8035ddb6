"""How a connection to a broker comes about, and what is said when it does not or ends."""

import asyncio
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from drivers.mqtt.driver import MqttDriver
from drivers.mqtt.options import MqttConnectionOptions
from drivers.mqtt.session import V311, Session
from edge.domain.driver import ConnectionLost, DriverMisconfigured
from fakes.mosquitto import Mosquitto, free_port, mosquitto
from fakes.mqtt_broker import ACCEPTED, V5, ScriptedBroker, scripted_broker
from fakes.mqtt_broker import V311 as OLD
from fakes.mqtt_connection import CONTEXT, connection, device
from fakes.mqtt_run import driver_at, samples_of, say, told_by, values
from fakes.peers import peer
from fakes.tcp_proxy import tcp_proxy

BENCH = device("bench", "house/bench")
CERTIFICATES = Path(__file__).parents[2] / "event_store" / "certificates"
REFUSED_AS_OLD_BROKERS_DO = bytes.fromhex("20020001")
REFUSED_AS_NEW_BROKERS_DO = bytes.fromhex("2003008400")


def driver_with(port: int, credentials: Mapping[str, str] | None = None, **options: Any) -> MqttDriver:
    scheme = options.pop("scheme", "mqtt")
    known = credentials or {}
    context = replace(CONTEXT, folder=CERTIFICATES, credential=known.__getitem__)
    settings = MqttConnectionOptions(url=f"{scheme}://127.0.0.1:{port}", **options)
    return MqttDriver(connection(settings, BENCH), context)


async def connected(driver: MqttDriver) -> None:
    async with driver.open():
        pass


async def refusal(driver: MqttDriver) -> str:
    with pytest.raises(ConnectionLost) as caught:
        await connected(driver)
    return str(caught.value)


def session_of(driver: MqttDriver) -> Session:
    assert driver._session is not None
    return driver._session


@pytest.mark.parametrize("answer", [REFUSED_AS_OLD_BROKERS_DO, REFUSED_AS_NEW_BROKERS_DO])
async def test_a_broker_that_refuses_mqtt_5_is_asked_in_3_1_1_and_never_again_in_5(answer: bytes) -> None:
    async with scripted_broker(ScriptedBroker({V5: answer, OLD: ACCEPTED[OLD]})) as old:
        driver = driver_with(old.port)
        await connected(driver)
        await connected(driver)
    assert old.versions == [V5, OLD, OLD]
    assert driver.window == 20


async def test_a_broker_that_hangs_up_on_mqtt_5_is_asked_in_3_1_1_and_in_5_again_next_time() -> None:
    async with scripted_broker(ScriptedBroker({V5: b"", OLD: ACCEPTED[OLD]})) as old:
        driver = driver_with(old.port)
        await connected(driver)
        await connected(driver)
    assert old.versions == [V5, OLD, V5, OLD]


async def test_a_version_that_the_site_file_names_is_the_only_one() -> None:
    refusing = ScriptedBroker({V5: REFUSED_AS_NEW_BROKERS_DO, OLD: REFUSED_AS_OLD_BROKERS_DO})
    async with scripted_broker(refusing) as broker:
        assert "does not speak MQTT 5" in await refusal(driver_with(broker.port, protocol="5"))
        assert broker.versions == [V5]
        await refusal(driver_with(broker.port, protocol="3.1.1"))
    assert broker.versions == [V5, OLD]


async def test_a_refused_client_id_says_what_to_change() -> None:
    async with scripted_broker(ScriptedBroker({V5: bytes.fromhex("2003008500")})) as broker:
        said = await refusal(driver_with(broker.port))
    assert "Client identifier not valid" in said
    assert "client_id" in said
    assert "greenhouse-edge-house-1-broker" in said


async def test_a_broker_that_is_not_there_is_unreachable() -> None:
    port = free_port()
    assert f"127.0.0.1:{port} cannot be reached" in await refusal(driver_with(port))


async def test_a_broker_that_says_nothing_is_given_up_after_the_time_out(broker: Mosquitto) -> None:
    async with tcp_proxy(broker.port) as wire:
        wire.go_silent()
        said = await refusal(driver_with(wire.port, connect_timeout_ms=100))
    assert said == f"127.0.0.1:{wire.port} did not answer within 0.1 s"


async def test_something_else_on_the_port_is_said_to_speak_no_mqtt() -> None:
    async with scripted_broker(ScriptedBroker({V5: b"SSH-2.0-OpenSSH_9.2\r\n", OLD: b"SSH-2.0-x\r\n"})) as other:
        assert "does not speak MQTT: it began with b'SSH-2.0" in await refusal(driver_with(other.port))


async def test_a_broker_that_closes_is_told_as_a_loss(broker: Mosquitto) -> None:
    driver = driver_at(broker, BENCH)
    async with driver.open():
        await asyncio.to_thread(broker.stop)
        with pytest.raises(ConnectionLost, match="the broker closed the connection"):
            await told_by(driver)
        with pytest.raises(ConnectionLost):
            await told_by(driver)


async def test_another_client_with_our_id_is_named_as_a_reason(broker: Mosquitto) -> None:
    first, second = driver_at(broker, BENCH), driver_at(broker, BENCH)
    async with first.open(), second.open():
        with pytest.raises(
            ConnectionLost, match="another client connects with our client_id 'greenhouse-edge-house-1-b"
        ):
            await told_by(first)
        await say(broker, 1.0)
        assert values(await samples_of(second, 1)) == [1.0]


async def test_a_broker_that_says_who_took_our_place_is_quoted() -> None:
    async with scripted_broker(ScriptedBroker(then=bytes.fromhex("e0098e071f000474616b65"))) as telling:
        driver = driver_with(telling.port)
        async with driver.open():
            with pytest.raises(ConnectionLost, match="'greenhouse-edge-house-1-broker' connected and took our place"):
                await told_by(driver)


async def test_a_broker_that_says_why_it_closes_is_quoted() -> None:
    async with scripted_broker(ScriptedBroker(then=bytes.fromhex("e0098b071f000473746f70"))) as telling:
        driver = driver_with(telling.port)
        async with driver.open():
            with pytest.raises(ConnectionLost, match="the broker closed the connection: Server shutting down"):
                await told_by(driver)


async def test_a_broker_that_breaks_the_rules_is_left() -> None:
    async with scripted_broker(ScriptedBroker(then=b"\x10\x00")) as odd:
        driver = driver_with(odd.port)
        async with driver.open():
            with pytest.raises(ConnectionLost, match="breaks the rules of MQTT"):
                await told_by(driver)


async def test_a_driver_that_is_not_open_receives_nothing(broker: Mosquitto) -> None:
    with pytest.raises(ConnectionLost, match="not open"):
        await driver_at(broker, BENCH).receive()


async def test_a_broker_that_falls_silent_is_pinged_and_then_given_up(broker: Mosquitto) -> None:
    async with tcp_proxy(broker.port) as wire:
        driver = driver_with(wire.port, keep_alive_s=1)
        async with driver.open():
            wire.go_silent()
            with pytest.raises(ConnectionLost, match="has said nothing for"):
                await told_by(driver)


async def test_a_broker_that_has_nothing_to_say_answers_pings_and_is_kept(broker: Mosquitto) -> None:
    driver = driver_with(broker.port, keep_alive_s=1)
    async with driver.open():
        # Longer than the broker waits for a client that is silent.
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(3):
                await driver.receive()
        await say(broker, 1.0)
        assert values(await samples_of(driver, 1)) == [1.0]


async def test_while_we_do_not_read_the_broker_is_pinged_and_its_silence_is_not_held_against_it(
    broker: Mosquitto,
) -> None:
    driver = driver_with(broker.port, keep_alive_s=60)
    async with driver.open():
        session = session_of(driver)
        session.link.pause()
        session.link.last_received_s -= 1000
        session.link.last_sent_s -= 1000
        sent_s = session.link.last_sent_s
        session._tick()
        assert session.link.last_sent_s > sent_s
        session.resume()
        session._tick()
        await say(broker, 1.0)
        assert values(await samples_of(driver, 1)) == [1.0]


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
async def test_a_user_is_let_in_with_the_right_password_only(tmp_path: Path, protocol: str) -> None:
    passwords = tmp_path / "passwords"
    command = [peer("mosquitto_passwd"), "-b", "-c", str(passwords), "edge", "s3cret:with:colons"]
    await asyncio.to_thread(subprocess.run, command, check=True)
    known = {"right": "edge:s3cret:with:colons", "wrong": "edge:guess", "nobody": "edge:"}
    with mosquitto(tmp_path, "allow_anonymous false", f"password_file {passwords}") as broker:
        await connected(driver_with(broker.port, known, credential="right", protocol=protocol))
        for name in ("wrong", "nobody"):
            said = await refusal(driver_with(broker.port, known, credential=name, protocol=protocol))
            assert "refused us" in said
            assert "credential" in said
            assert "guess" not in said
        assert "refused us" in await refusal(driver_with(broker.port, protocol=protocol))


async def test_a_credential_that_names_no_user_is_a_mistake_of_the_site(broker: Mosquitto) -> None:
    with pytest.raises(DriverMisconfigured, match="user:password"):
        await connected(driver_with(broker.port, {"broker": "just-a-token"}, credential="broker"))


TLS = (f"cafile {CERTIFICATES}/ca.pem", f"certfile {CERTIFICATES}/server.pem", f"keyfile {CERTIFICATES}/server-key.pem")


async def test_with_tls_a_broker_must_have_a_certificate_that_we_trust(tmp_path: Path) -> None:
    with mosquitto(tmp_path, "allow_anonymous true", *TLS) as broker:
        driver = driver_with(broker.port, scheme="mqtts", ca_file=Path("ca.pem"))
        async with driver.open():
            assert session_of(driver).version is not V311
        said = await refusal(driver_with(broker.port, scheme="mqtts", ca_file=Path("other-ca.pem")))
        assert "its certificate cannot be trusted" in said
        said = await refusal(driver_with(broker.port, scheme="mqtts"))
        assert "its certificate cannot be trusted" in said


async def test_tls_with_a_broker_that_has_none_says_so(broker: Mosquitto) -> None:
    said = await refusal(driver_with(broker.port, scheme="mqtts", connect_timeout_ms=500))
    assert "TLS" in said


async def test_a_broker_that_wants_a_client_certificate_gets_ours(tmp_path: Path) -> None:
    with mosquitto(tmp_path, "allow_anonymous true", *TLS, "require_certificate true") as broker:
        await connected(
            driver_with(
                broker.port,
                scheme="mqtts",
                ca_file=Path("ca.pem"),
                client_certificate=Path("server.pem"),
                client_key=Path("server-key.pem"),
            )
        )
        said = await refusal(driver_with(broker.port, scheme="mqtts", ca_file=Path("ca.pem")))
        assert "client certificate" in said


@pytest.mark.parametrize("option", ["ca_file", "client_certificate"])
async def test_a_certificate_that_cannot_be_read_is_a_mistake_of_the_site(broker: Mosquitto, option: str) -> None:
    options: dict[str, Any] = {option: Path("nothing.pem")}
    driver = driver_with(broker.port, scheme="mqtts", **options)
    with pytest.raises(DriverMisconfigured, match=option):
        await connected(driver)
