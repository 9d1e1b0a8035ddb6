"""What `check` says of an event store's URI, against what the client makes of the same one when the daemon starts."""

import pytest

from edge.domain.event_store import EventStoreMisconfigured
from edge.domain.event_store_uri import is_encrypted, needs_credential, uri_mistakes
from edge.domain.settings import EventStoreSettings
from edge.event_store.node import Access, Keepalive

CREDENTIAL = "gateway:secret"

USABLE = [
    *(f"{name}{form}://central.example:2113" for name in ("esdb", "kurrentdb") for form in ("", "+discover")),
    "esdb://central",
    "esdb://central/?tls=true",
    "esdb://a:1,b:2, c:3",
    "kurrentdb://127.0.0.1:2113?tls=false",
    "esdb://[fe80::1]:2113",
    "esdb://central?TLS=True&NodePreference=Leader&tlsVerifyCert=true&gossipTimeout=5&connectionName=north",
]

REFUSED_BY_THE_CLIENT = [
    "http://central",
    "esdb:central",
    "central:2113",
    "esdb://",
    "esdb://?tls=false",
    "esdb+discover://a,b",
    "kurrentdb+discover://a:1,b:2",
    "esdb://[fe80::1",
    "esdb://central?tls=yes",
    "esdb://central?nodePreference=follower",
    "esdb://central?nodePreference=nearest",
    "kurrentdb+discover://central?NODEPREFERENCE=readOnlyReplica",
    "esdb://central?tlsVerifyCert=no",
    "esdb://central?gossipTimeout=5s",
    "esdb://central?defaultDeadline=1.5",
    "esdb://central?colour=red",
]

# The client takes these, and no call ever gets through.
NEVER_CONNECTING = [
    "esdb://[fe80::1]",
    "esdb://fe80::1:2113",
    "esdb://central:port",
    "esdb://central:0",
    "esdb://central:70000",
    "esdb://:2113",
    "esdb://a:1,,b:2",
    "esdb://a b:1",
    "esdb://a:1:2",
    "esdb://http://central:2113",
    "esdb://central/streams",
    "esdb://central?gossipTimeout=0",
    "esdb://central?tlsVerifyCert=false",
    "esdb://central?tls=true&TLS=false",
]


def access(uri: str) -> Access:
    return Access(EventStoreSettings(uri=uri), CREDENTIAL, Keepalive())


@pytest.mark.parametrize("uri", USABLE)
def test_uri_that_has_no_mistake_can_be_used(uri: str) -> None:
    assert list(uri_mistakes(uri)) == []
    assert access(uri).spec.targets


@pytest.mark.parametrize("uri", REFUSED_BY_THE_CLIENT)
def test_uri_that_the_client_refuses_is_a_mistake_of_the_site_file(uri: str) -> None:
    with pytest.raises(EventStoreMisconfigured):
        access(uri)
    (mistake, *_) = EventStoreSettings(uri=uri, credential="event-store").mistakes()
    assert mistake.startswith("uri ")


@pytest.mark.parametrize("uri", NEVER_CONNECTING)
def test_uri_by_which_nothing_can_be_reached_is_a_mistake_of_the_site_file(uri: str) -> None:
    (mistake, *_) = EventStoreSettings(uri=uri, credential="event-store").mistakes()
    assert mistake.startswith("uri ")


@pytest.mark.parametrize("uri", ["esdb://central", "kurrentdb+discover://central?tls=true", "esdb://a,b?TLS=TRUE"])
def test_server_with_tls_needs_a_credential(uri: str) -> None:
    with pytest.raises(EventStoreMisconfigured):
        Access(EventStoreSettings(uri=uri), None, Keepalive())
    (mistake,) = EventStoreSettings(uri=uri).mistakes()
    assert mistake.startswith("credential is missing")
    assert EventStoreSettings(uri=uri, credential="event-store").mistakes() == []


@pytest.mark.parametrize("uri", ["esdb://central?tls=false", "kurrentdb://central?Tls=False"])
def test_server_without_tls_needs_none(uri: str) -> None:
    assert EventStoreSettings(uri=uri).mistakes() == []
    assert not is_encrypted(uri)
    assert not needs_credential(uri)
    assert Access(EventStoreSettings(uri=uri), None, Keepalive()).user is None


def test_uri_with_user_and_password_asks_for_no_other_credential() -> None:
    assert not needs_credential("esdb://gateway:secret@central")


def test_wrong_uri_says_nothing_of_the_credential() -> None:
    (mistake,) = EventStoreSettings(uri="http://central").mistakes()
    assert mistake.startswith("uri must start with")
