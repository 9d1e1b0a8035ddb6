"""Hooks of brokers for a first site file: to name, draft and look at one, as a guest. Loads no transport."""

import secrets
from dataclasses import replace

from drivers.first_day import usable
from drivers.mqtt.options import MqttConnectionOptions
from edge.domain.commissioning import (
    DraftConnection,
    FirstDay,
    Survey,
    TomlValue,
    Way,
    Wishes,
)
from edge.domain.settings import ConnectionSettings


def broker(text: str) -> MqttConnectionOptions:
    """Read a broker's address; mqtt:// may be left out. Raises AnswerWrong."""
    return usable(MqttConnectionOptions(url=text.strip() if "://" in text else f"mqtt://{text.strip()}"))


def draft(options: object) -> DraftConnection:
    """Draft a broker without devices."""
    assert isinstance(options, MqttConnectionOptions)
    keys: dict[str, TomlValue] = {"url": options.url}
    if options.credential is not None:
        keys["credential"] = options.credential
    return DraftConnection(
        name="broker",
        keys=keys,
        example={"id": "bench1-climate", "profile": "zigbee2mqtt-climate", "topic": "zigbee2mqtt/bench1"},
    )


def survey(options: object, wishes: Wishes) -> Survey:
    """Plan to listen at a broker, as a client of its own."""
    from drivers.mqtt.listen import steps_of  # noqa: PLC0415 - paho only where a person looks
    from drivers.mqtt.survey import look_at_topics  # noqa: PLC0415

    assert isinstance(options, MqttConnectionOptions)
    return Survey(
        what=f"listening at {options.url}",
        steps=steps_of(wishes.seconds),
        run=lambda look: look_at_topics(draft(options), options, wishes.seconds, look),
    )


FIRST_DAY = FirstDay(
    ways=(Way(name="mqtt", metavar="URL", help="An MQTT broker.", read=broker),), draft=draft, survey=survey
)


def visiting(connection: ConnectionSettings) -> ConnectionSettings:
    """Give a connection a client of its own: the session of the daemon, and what waits there, stay as they are.

    Nothing is left behind at the broker. The client id is a fresh one of at most 23 letters and digits, which every
    broker takes.
    """
    assert isinstance(connection.options, MqttConnectionOptions)
    guest = replace(connection.options, client_id=f"edgevisitor{secrets.token_hex(6)}", session_expiry_s=0)
    return replace(connection, options=guest)
