"""A verb at an MQTT broker: somebody else than the daemon, who leaves nothing behind."""

import secrets
from dataclasses import replace

from drivers.mqtt.options import MqttConnectionOptions


def as_visitor(options: MqttConnectionOptions) -> MqttConnectionOptions:
    """Return options under which a client neither takes over the daemon's session nor leaves one of its own.

    The client id is a fresh one of at most 23 letters and digits, which every broker takes.
    """
    return replace(options, client_id=f"edgevisitor{secrets.token_hex(6)}", session_expiry_s=0)
