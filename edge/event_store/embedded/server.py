"""The embedded event store, running: log, calls and port together."""

import time
from base64 import b64encode
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc.aio
from esdbclient.protos.Grpc import gossip_pb2_grpc, streams_pb2_grpc

from edge.event_store.embedded import wire
from edge.event_store.embedded.database import open_log_database
from edge.event_store.embedded.faults import Faults
from edge.event_store.embedded.features import add_features
from edge.event_store.embedded.log import EventLog, running_log
from edge.event_store.embedded.servicer import Access, Gossip, Streams

# As EventStoreDB 23.10 and 24.10 have it.
APPEND_BYTES_MAX = 1_048_576
MESSAGE_BYTES_MAX = 16 * 1024 * 1024 - 10_000
# Appends under way may end; subscriptions are ended at once.
STOP_GRACE_S = 1.0

_SERVER_OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    # Two stores on one port would both seem to work.
    ("grpc.so_reuseport", 0),
    # gRPC's own default closes the connections of clients with a short keepalive ("Too many pings").
    ("grpc.http2.max_ping_strikes", 0),
    ("grpc.http2.min_ping_interval_without_data_ms", 500),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 500),
    # Frees what a client that vanished still holds, as the real server does.
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 10_000),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """The server's own certificate (PEM)."""

    private_key: bytes
    certificate_chain: bytes


class EmbeddedEventStore:
    """A store that answers on `port`. The methods are for tests: a user starts and stops the process."""

    def __init__(
        self,
        log: EventLog,
        host: str,
        port: int,
        *,
        append_bytes_max: int,
        ticks: Callable[[], int],
        tls: Tls | None,
        access: Access,
    ) -> None:
        self.host = host
        self.port = port
        self.faults = Faults()
        self._log = log
        self._append_bytes_max = append_bytes_max
        self._ticks = ticks
        self._tls = tls
        self._access = access
        self._server: grpc.aio.Server | None = None

    @property
    def uri(self) -> str:
        """What a client on this machine connects to."""
        host = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}.get(self.host, self.host)  # noqa: S104 - compared, not bound
        return f"esdb://{host}:{self.port}?tls={'false' if self._tls is None else 'true'}"

    async def start_answering(self) -> None:
        """Bind the port (0 takes a free one) and serve. Raises OSError where the port is held."""
        server = grpc.aio.server(options=_SERVER_OPTIONS)
        address = f"{self.host}:{self.port}"
        try:
            if self._tls is None:
                self.port = server.add_insecure_port(address)
            else:
                pair = (self._tls.private_key, self._tls.certificate_chain)
                self.port = server.add_secure_port(address, grpc.ssl_server_credentials([pair]))
        except RuntimeError as error:
            raise OSError(f"{address} cannot be bound: is something else listening there?") from error
        streams = Streams(
            self._log, self.faults, self._access, append_bytes_max=self._append_bytes_max, ticks=self._ticks
        )
        streams_pb2_grpc.add_StreamsServicer_to_server(streams, server)  # type: ignore[no-untyped-call]
        gossip = Gossip(self.faults, self.host, self.port, self._ticks)
        gossip_pb2_grpc.add_GossipServicer_to_server(gossip, server)  # type: ignore[no-untyped-call]
        add_features(server)
        await server.start()
        self._server = server

    async def stop_answering(self) -> None:
        """Let the port go. What is in the log stays; the weak cache is lost, as with the process."""
        if self._server is None:
            return
        server, self._server = self._server, None
        unavailable, self.faults.unavailable = self.faults.unavailable, True
        self._log.wake()
        await server.stop(STOP_GRACE_S)
        self.faults.unavailable = unavailable
        self._log.recent.forget()

    async def restart(self) -> None:
        """End and begin, on the same port with the same log."""
        await self.stop_answering()
        await self.start_answering()

    def become_unavailable(self) -> None:
        """Refuse every call and end running subscriptions, until `faults.unavailable` is taken back."""
        self.faults.unavailable = True
        self._log.wake()


def _wall_ticks() -> int:
    return time.time_ns() // 100


@asynccontextmanager
async def serve(
    listen: tuple[str, int],
    state_directory: Path | None,
    *,
    append_bytes_max: int = APPEND_BYTES_MAX,
    tls: Tls | None = None,
    credential: str | None = None,
    ticks: Callable[[], int] = _wall_ticks,
) -> AsyncIterator[EmbeddedEventStore]:
    """Run a store for the length of the context; in memory where there is no directory.

    `credential` (user:password) is then asked of every caller; clients only send it over TLS.
    Raises DirectoryInUse, OSError (port held, directory not writable), sqlite3.Error.
    """
    authorization = None if credential is None else f"Basic {b64encode(credential.encode()).decode()}"
    async with (
        open_log_database(state_directory) as database,
        running_log(database, bodies=wire, ticks=ticks) as log,
    ):
        store = EmbeddedEventStore(
            log,
            *listen,
            append_bytes_max=append_bytes_max,
            ticks=ticks,
            tls=tls,
            access=Access(authorization),
        )
        await store.start_answering()
        try:
            yield store
        finally:
            await store.stop_answering()
