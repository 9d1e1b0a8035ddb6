"""What the store says of itself: which calls it answers, and of which it says that it does not.

Clients in other languages ask before their first call. Where BatchAppend is not offered they append by the older call.
"""

from collections.abc import AsyncIterator, Iterator, Mapping
from typing import TYPE_CHECKING

import grpc
from esdbclient.protos.Grpc import gossip_pb2, persistent_pb2, projections_pb2, shared_pb2, streams_pb2

if TYPE_CHECKING:
    from google.protobuf.descriptor import FileDescriptor

# The line of servers that this store is measured by. Some clients compare it as a version of three numbers.
SERVER_VERSION = "24.10.0"

_FEATURES_NAME = "event_store.client.server_features.ServerFeatures"
_FEATURES: Mapping[str, tuple[str, ...]] = {"event_store.client.streams.streams/read": ("position", "events")}
_REFUSED: Mapping[str, "FileDescriptor"] = {
    "persistent subscriptions: subscribe to the stream, and keep the position yourself": persistent_pb2.DESCRIPTOR,
    "projections, so there are no streams named $ce-, $et- or $bc-": projections_pb2.DESCRIPTOR,
}


def _method_names(file: "FileDescriptor") -> Iterator[tuple[str, str]]:
    for described in file.services_by_name.values():
        for method in described.methods:
            yield described.full_name, method.name


def _field(number: int, content: bytes) -> bytes:
    """Encode one field of bytes, text or a message. esdbclient brings no messages for this call."""
    length, size = bytearray(), len(content)
    while size >= 128:
        length.append(size % 128 + 128)
        size //= 128
    length.append(size)
    return bytes([number * 8 + 2, *length]) + content


def _supported_methods() -> bytes:
    """Encode `SupportedMethods`: names in small letters, as the server writes them."""
    answered = [
        *_method_names(streams_pb2.DESCRIPTOR),
        *_method_names(gossip_pb2.DESCRIPTOR),
        (_FEATURES_NAME, "GetSupportedMethods"),
    ]
    encoded = b""
    for called, method in answered:
        name, of = method.lower(), called.lower()
        features = [_field(3, feature.encode()) for feature in _FEATURES.get(f"{of}/{name}", ())]
        encoded += _field(1, b"".join([_field(1, name.encode()), _field(2, of.encode()), *features]))
    return encoded + _field(2, SERVER_VERSION.encode())


async def _answer_features(_request: shared_pb2.Empty, _context: "grpc.aio.ServicerContext") -> bytes:
    return _supported_methods()


def _refusing(sentence: str) -> "grpc.RpcMethodHandler":
    """Refuse a call of any form."""

    async def refuse(requests: AsyncIterator[bytes], context: "grpc.aio.ServicerContext") -> AsyncIterator[bytes]:
        # A client that is refused while it still sends its request may see a broken connection instead.
        await anext(aiter(requests), None)
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, f"the embedded event store has no {sentence}")
        yield b""

    return grpc.stream_stream_rpc_method_handler(refuse)


def add_features(server: "grpc.aio.Server") -> None:
    """Answer what the server can do, and refuse in words what it cannot."""
    answer = grpc.unary_unary_rpc_method_handler(_answer_features)
    kinds = [grpc.method_handlers_generic_handler(_FEATURES_NAME, {"GetSupportedMethods": answer})]
    for sentence, file in _REFUSED.items():
        for called, method in _method_names(file):
            kinds.append(grpc.method_handlers_generic_handler(called, {method: _refusing(sentence)}))
    server.add_generic_rpc_handlers(kinds)
