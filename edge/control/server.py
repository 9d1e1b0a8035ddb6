"""The daemon's end of the control socket: one JSON line asks, one JSON line answers."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import structlog

from edge.domain.event import Json

log = structlog.get_logger()

# What the daemon can be asked, and who answers; `gateway.py` brings the callables.
Operation = Callable[[Mapping[str, Json]], Awaitable[Json]]
Operations = Mapping[str, Operation]

# A request names an operation and, at most, all devices of a site.
REQUEST_BYTES_MAX = 1 << 16
# Verbs are typed by people; a stuck one must not hold its place.
REQUEST_TIMEOUT_S = 10.0
# Reading the many devices of a slow bus takes minutes.
ANSWER_TIMEOUT_S = 600.0


class RequestMistaken(ValueError):  # noqa: N818 - names the situation; the asker's remedy
    """The arguments of a request make no sense; the message says why."""


@asynccontextmanager
async def serve_control(socket: Path, operations: Operations) -> AsyncIterator[None]:
    """Answer on a unix socket (mode 0660) for the length of the context.

    The caller holds the state directory's lock, so a socket that is still there belongs to a dead daemon.
    """
    socket.unlink(missing_ok=True)
    server = await asyncio.start_unix_server(
        lambda reader, writer: _answer(reader, writer, operations), path=socket, limit=REQUEST_BYTES_MAX
    )
    socket.chmod(0o660)
    try:
        async with server:
            yield
    finally:
        socket.unlink(missing_ok=True)


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, operations: Operations) -> None:
    try:
        async with asyncio.timeout(REQUEST_TIMEOUT_S):
            line = await reader.readline()
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            answer = await _perform(line, operations)
        async with asyncio.timeout(REQUEST_TIMEOUT_S):
            writer.write(json.dumps(answer, ensure_ascii=False).encode() + b"\n")
            await writer.drain()
    except (TimeoutError, ConnectionError, ValueError) as error:  # ValueError: a line beyond the limit
        log.debug("control_request_abandoned", error=str(error))
    finally:
        writer.close()


async def _perform(line: bytes, operations: Operations) -> dict[str, Json]:
    try:
        request = json.loads(line)
    except (ValueError, RecursionError):
        return {"error": "the request is not JSON"}
    name = request.get("operation") if isinstance(request, dict) else None
    if not isinstance(name, str) or name not in operations:
        return {"error": f"unknown operation; known are {', '.join(sorted(operations))}"}
    arguments = request.get("arguments", {})
    if not isinstance(arguments, dict):
        return {"error": "arguments must be an object"}
    try:
        return {"answer": await operations[name](arguments)}
    except RequestMistaken as error:
        return {"error": str(error)}
