"""A stop with clients on the control socket: it waits for none of them, whatever the Python version."""

import json
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest

from edge.control.places import socket_name
from fakes.site_processes import Site, open_empty_site

pytestmark = pytest.mark.system

# The host takes the connection and answers nothing, and its device is asked once an hour: a read waits for a long time.
SITE = """\
[site]
id = "stop-1"
[event_store]
uri = "{uri}"
[[connection]]
id = "host"
driver = "modbus"
transport = "tcp"
host = "127.0.0.1"
tcp_port = {port}
poll_interval_s = 3600
response_timeout_ms = 30000
  [[connection.device]]
  id = "a"
  profile = "xy-md02"
  address = 1
"""
READ = {"operation": "read", "arguments": {"devices": ["a"], "timeoutS": 60}}


@pytest.fixture
def site() -> Iterator[Site]:
    with open_empty_site() as opened, socket.create_server(("127.0.0.1", 0)) as deaf:
        text = SITE.format(uri=opened.event_store_uri, port=deaf.getsockname()[1])
        opened.site_file.write_text(text, encoding="utf-8")
        opened.start("run")
        opened.wait_until(lambda: opened.status() is not None, "the daemon")
        yield opened


@contextmanager
def client(site: Site, request: object = None) -> Iterator[socket.socket]:
    with closing(socket.socket(socket.AF_UNIX)) as connection:
        connection.connect(f"{site.directory}/greenhouse-edge/{socket_name(site.state)}.sock")
        if request is not None:
            connection.sendall(json.dumps(request).encode() + b"\n")
        yield connection


@pytest.mark.parametrize("request_sent", [None, READ], ids=["idle", "busy"])
def test_a_client_does_not_keep_the_daemon_from_stopping(site: Site, request_sent: object) -> None:
    with client(site, request_sent), client(site, request_sent):
        # They were accepted before the next one, which is answered.
        assert site.status() is not None
        assert site.end("run") == 0
    log = (site.directory / "run.log").read_text(encoding="utf-8")
    assert "gateway_stopped" in log
    assert "Traceback" not in log
    assert "Exception in callback" not in log
    assert not list((site.directory / "greenhouse-edge").iterdir())
