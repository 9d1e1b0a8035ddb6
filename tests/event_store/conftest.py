import os
from collections.abc import AsyncIterator
from pathlib import Path

import grpc.aio
import pytest

from edge.event_store.embedded.server import EmbeddedEventStore, serve
from fakes.bare_calls import Calls
from fakes.event_store_cluster import Cluster, running_cluster
from fakes.event_store_subjects import Subject, fake_subject, wire_subject

EXTERNAL_URI = os.environ.get("GREENHOUSE_EDGE_EVENT_STORE_URI")


@pytest.fixture
async def embedded(tmp_path: Path) -> AsyncIterator[EmbeddedEventStore]:
    async with serve(("127.0.0.1", 0), tmp_path / "store") as store:
        yield store


@pytest.fixture
async def calls(embedded: EmbeddedEventStore) -> AsyncIterator[Calls]:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{embedded.port}") as channel:
        yield Calls(channel)


@pytest.fixture(params=["fake", "embedded", *(["external"] if EXTERNAL_URI else [])])
async def subject(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Subject]:
    match request.param:
        case "fake":
            yield fake_subject()
        case "embedded":
            async with (
                serve(("127.0.0.1", 0), tmp_path / "store") as store,
                wire_subject(store.uri, store.restart) as subject,
            ):
                yield subject
        case _:
            assert EXTERNAL_URI is not None
            async with wire_subject(EXTERNAL_URI, None) as subject:
                yield subject


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    async with running_cluster() as cluster:
        yield cluster
