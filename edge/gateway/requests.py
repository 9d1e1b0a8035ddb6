"""Requests of the control socket to the running gateway."""

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from edge import __version__
from edge.control.places import DaemonNote, make_runtime_directory, socket_name, write_note
from edge.control.server import ANSWER_TIMEOUT_S, Operations, RequestMistaken, serve_control
from edge.domain.clock import rfc3339
from edge.domain.event import Json
from edge.gateway.components import Gateway
from edge.operate.status import GatewayStatus, alarm_statuses, json_pieces

# The time-out of a read by default: the line of a device may have others to ask first.
READ_TIMEOUT_S = 15.0


class Requests:
    """The requests, each a method; the socket names them in `operations`."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def operations(self) -> Operations:
        """Return what can be asked, by name."""
        return {"status": self.status, "read": self.read}

    async def status(self, _arguments: Mapping[str, Json]) -> GatewayStatus:
        """Tell how the gateway is; all of it is in memory (1,000 devices: 5 ms)."""
        gateway = self._gateway
        return GatewayStatus(
            gateway_id=gateway.author.gateway_id,
            site_id=gateway.author.site_id,
            site_file=str(gateway.settings.file),
            version=__version__,
            pid=os.getpid(),
            run=str(gateway.author.run),
            clock=gateway.author.clock.state(),
            now=rfc3339(gateway.author.clock.unix_ms()),
            alarms=alarm_statuses(gateway.outbox.alarms),
            event_store=gateway.forwarder.status(),
            configuration=gateway.configurator.status(),
            outbox=gateway.outbox.statistics(),
            fleet=gateway.fleet.status(),
        )

    async def read(self, arguments: Mapping[str, Json]) -> Mapping[str, object]:
        """Read devices now, for the verb that cannot: we hold the ports. Raises RequestMistaken."""
        wanted, timeout_s = arguments.get("devices"), arguments.get("timeoutS", READ_TIMEOUT_S)
        # NaN fails the comparison, too: in the heap of the loop's timers it would disorder all of them.
        if (
            not isinstance(wanted, list)
            or not isinstance(timeout_s, int | float)
            or not 0 < timeout_s <= ANSWER_TIMEOUT_S
        ):
            raise RequestMistaken(
                f"devices must be a list of device ids, timeoutS a number of seconds up to {ANSWER_TIMEOUT_S:g}"
            )
        return {"devices": await self._gateway.fleet.read([str(item) for item in wanted], timeout_s=timeout_s)}


@asynccontextmanager
async def answering_requests(gateway: Gateway, state_directory: Path) -> AsyncIterator[None]:
    """Answer on the control socket for the length of the context, and leave a note of where it is."""
    socket = make_runtime_directory() / f"{socket_name(state_directory)}.sock"
    note = DaemonNote(
        gateway_id=gateway.author.gateway_id,
        site_file=str(gateway.settings.file.resolve()),
        state_directory=str(state_directory.resolve()),
        pid=os.getpid(),
        socket=str(socket),
    )
    async with serve_control(socket, Requests(gateway).operations(), json_pieces=json_pieces):
        path = write_note(note)
        try:
            yield
        finally:
            path.unlink(missing_ok=True)
