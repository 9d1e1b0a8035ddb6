"""Events as anybody with the right to append could write them into our streams: hypothesis strategies."""

import json
from uuid import UUID

from hypothesis import strategies as st

from edge.domain.event import NewEvent

INTEGERS = (0, -1, 1, 3, 2**31, 2**63 - 1, 2**63, -(2**63) - 1, 10**30, -(10**30))
# What `json.dumps` would not write, by short names: hypothesis shows where a value came from.
RAW_VALUES = {
    "400 digits": b"1" * 400,
    "-400 digits": b"-" + b"1" * 400,
    "5000 digits": b"1" * 5000,
    "1e999": b"1e999",
    "-0": b"-0",
    "1.0": b"1.0",
    "NaN": b"NaN",
    "Infinity": b"Infinity",
    "-Infinity": b"-Infinity",
    "half a character": b'"\\ud800"',
    "NUL": b'"\\u0000"',
    "no UTF-8": b'"\xff"',
    "unclosed lists": b"[" * 50_000,
    "900 lists": b"[" * 900 + b"]" * 900,
    "50000 objects": b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
    "true": b"true",
    "null": b"null",
}

SCALARS = st.none() | st.booleans() | st.integers() | st.sampled_from(INTEGERS) | st.floats() | st.text(max_size=40)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
).map(lambda value: json.dumps(value).encode()) | st.sampled_from(sorted(RAW_VALUES)).map(lambda name: RAW_VALUES[name])


def objects(keys: dict[str, st.SearchStrategy[bytes]]) -> st.SearchStrategy[bytes]:
    """JSON objects with some of these keys, each perhaps twice, each with its own values or any."""
    pairs = st.sampled_from(sorted(keys)).flatmap(
        lambda key: st.tuples(st.just(key), keys[key] | VALUES).map(
            lambda pair: b'"%b":%b' % (pair[0].encode(), pair[1])
        )
    )
    return st.lists(pairs, max_size=6).map(lambda pairs: b"{%b}" % b",".join(pairs))


def bodies(keys: dict[str, st.SearchStrategy[bytes]]) -> st.SearchStrategy[bytes]:
    """Such objects, or what is none, or not even JSON."""
    return objects(keys) | VALUES | st.binary(max_size=60)


def data(gateway_id: str) -> st.SearchStrategy[bytes]:
    """Data that often claims to be of a gateway."""
    own = json.dumps(gateway_id).encode()
    return st.just(b'{"gatewayId":%b}' % own) | bodies(
        {"gatewayId": st.just(own), "deviceId": VALUES, "sequence": VALUES}
    )


def metadata(*runs: UUID) -> st.SearchStrategy[bytes]:
    """Metadata that often claims to be of one of these runs."""
    known = st.sampled_from([str(run) for run in runs]).map(lambda run: json.dumps(run).encode())
    odd = st.sampled_from(("", "{}", "urn:uuid:", "0" * 32, "\u0663" * 32, "+" + "1" * 31, "1_" * 16))
    numbers = (st.integers() | st.sampled_from(INTEGERS)).map(lambda number: b"%d" % number)
    positioned = st.tuples(known, numbers | VALUES).map(lambda pair: b'{"run":%b,"position":%b}' % pair)
    return positioned | bodies({"run": known | odd.map(lambda run: json.dumps(run).encode()), "position": VALUES})


def events(gateway_id: str, *runs: UUID) -> st.SearchStrategy[NewEvent]:
    """Whole events."""
    return st.builds(
        NewEvent,
        event_id=st.uuids(version=4),
        type=st.text(max_size=20),
        data=data(gateway_id),
        metadata=metadata(*runs),
    )
