"""From an address to a session that the broker has accepted, in the newest version of MQTT that it speaks."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from paho.mqtt.enums import MQTTProtocolVersion
from paho.mqtt.reasoncodes import ReasonCode

from drivers.mqtt.broker import Address, address, tls_context, user_and_password
from drivers.mqtt.options import MqttConnectionOptions, Protocol
from drivers.mqtt.session import V5, V311, Listener, Session, Terms, Unanswered
from edge.domain.driver import ConnectionLost, DriverContext

_VERSIONS = {"auto": (V5, V311), "5": (V5,), "3.1.1": (V311,)}
_VERSION_NAMES = {V5: "MQTT 5", V311: "MQTT 3.1.1"}

# Reason codes of MQTT 5 (section 2.4); paho translates those of 3.1.1.
UNSUPPORTED_VERSION = 0x84
INVALID_CLIENT_ID = 0x85
BAD_USER_OR_PASSWORD = 0x86
NOT_AUTHORIZED = 0x87


class Versions:
    """The versions of MQTT to try with a broker, newest first. One that it refused by name is not tried again."""

    def __init__(self, protocol: Protocol) -> None:
        self._versions = list(_VERSIONS[protocol])

    @property
    def newest(self) -> MQTTProtocolVersion:
        """The version to try first."""
        return self._versions[0]

    def following(self, version: MQTTProtocolVersion) -> MQTTProtocolVersion | None:
        """The version to try after this one; None if it was the last."""
        older = [other for other in self._versions if other < version]
        return older[0] if older else None

    def forget(self, version: MQTTProtocolVersion) -> None:
        """Try a version never again, unless it is the last."""
        if len(self._versions) > 1:
            self._versions.remove(version)


class _VersionRefused(ConnectionLost):
    """The broker does not speak this version of MQTT, as it said itself."""


class _ClosedUnanswered(ConnectionLost):
    """The broker closed the connection instead of an answer: some old ones do that to a version they do not know."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Broker:
    """What is needed to connect."""

    address: Address
    # None = not encrypted.
    tls: ssl.SSLContext | None
    terms: Terms
    connect_timeout_s: float


async def broker_of(
    options: MqttConnectionOptions, context: DriverContext, *, client_id: str, session_expiry_s: int
) -> Broker:
    """Gather what is needed to connect. Raises DriverMisconfigured for a credential or certificate."""
    place = address(options)
    # Both read files, which may lie on a slow disk.
    tls = await asyncio.to_thread(tls_context, options, context.folder) if place.is_encrypted else None
    user = await asyncio.to_thread(user_and_password, options, context)
    terms = Terms(
        client_id=client_id,
        user_and_password=user,
        keep_alive_s=options.keep_alive_s,
        session_expiry_s=session_expiry_s,
        inflight_max=options.inflight_max,
    )
    return Broker(address=place, tls=tls, terms=terms, connect_timeout_s=options.connect_timeout_ms / 1000)


@asynccontextmanager
async def open_session(broker: Broker, versions: Versions, listener: Listener) -> AsyncIterator[Session]:
    """Connect for the length of the context, in the newest version that the broker speaks. Raises ConnectionLost."""
    session = await _connected(broker, versions, listener)
    try:
        yield session
    finally:
        await session.close()


async def _connected(broker: Broker, versions: Versions, listener: Listener) -> Session:
    version = versions.newest
    while True:
        older = versions.following(version)
        try:
            return await _connected_in(version, broker, listener)
        except _VersionRefused:
            if older is None:
                raise
            versions.forget(version)
        except _ClosedUnanswered:
            # The broker may also be stopping: the newer version is tried again next time.
            if older is None:
                raise
        version = older


async def _connected_in(version: MQTTProtocolVersion, broker: Broker, listener: Listener) -> Session:
    session = Session(broker.terms, version, listener)
    async with AsyncExitStack() as stack:
        stack.callback(session.link.abort)
        try:
            async with asyncio.timeout(broker.connect_timeout_s):
                await _connect(session, broker)
                refusal = await session.introduce()
        except (TimeoutError, OSError) as error:
            raise _why(error, broker) from error
        if refusal is not None:
            raise _refused(refusal, version, broker)
        stack.pop_all()
    return session


async def _connect(session: Session, broker: Broker) -> None:
    """Look up the name, connect, and agree on TLS."""
    address = broker.address
    await asyncio.get_running_loop().create_connection(lambda: session.link, address.host, address.port, ssl=broker.tls)


def _why(error: TimeoutError | OSError, broker: Broker) -> ConnectionLost:
    """Name the cause of a failed connection."""
    where = broker.address
    if isinstance(error, ssl.SSLCertVerificationError):
        return ConnectionLost(f"TLS with {where} failed: its certificate cannot be trusted: {error.verify_message}")
    if isinstance(error, ssl.SSLError):
        return ConnectionLost(f"TLS with {where} failed: {error.reason or error}")
    if isinstance(error, ConnectionResetError) and broker.tls is not None:
        return ConnectionLost(f"TLS with {where} failed: it closed the connection; is that its port for TLS?")
    if isinstance(error, TimeoutError):
        return ConnectionLost(f"{where} did not answer within {broker.connect_timeout_s:g} s")
    if isinstance(error, Unanswered):
        hint = "" if broker.tls is None else "; a broker that wants another client certificate does that"
        return _ClosedUnanswered(f"{where} answered nothing: {error}{hint}")
    return ConnectionLost(f"{where} cannot be reached: {error.strerror or error}")


def _refused(reason: ReasonCode, version: MQTTProtocolVersion, broker: Broker) -> ConnectionLost:
    where, client_id = broker.address, broker.terms.client_id
    if reason.value == UNSUPPORTED_VERSION:
        return _VersionRefused(f"{where} does not speak {_VERSION_NAMES[version]}")
    remedies = {
        INVALID_CLIENT_ID: f"choose another client_id than {client_id!r} (some brokers allow 23 letters and digits)",
        BAD_USER_OR_PASSWORD: "look at the credential",
        NOT_AUTHORIZED: f"it must allow the user of the credential and the client_id {client_id!r}",
    }
    remedy = remedies.get(reason.value)
    return ConnectionLost(f"{where} refused us: {reason}" + (f"; {remedy}" if remedy else ""))
