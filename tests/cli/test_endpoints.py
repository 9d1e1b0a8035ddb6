import tomllib

import pytest

from edge.cli.endpoints import with_endpoints

SITE = """\
# The house.
[[connection]]
id = "a"            # first
host = "10.0.0.1"   # the cabinet "left"
tcp_port = 0x1F6    # 502
[[connection]]
id = "b"
  host='plc # 2.example'
[[connection.device]]
id = "x"
host = "not a connection's"
[[connection]]
id = "c"
driver = "simulated"
"""


def test_hosts_and_ports_are_replaced_and_all_else_stays() -> None:
    text = with_endpoints(SITE, {0: ("127.0.0.1", 1501), 1: ("127.0.0.1", 1502)})
    assert text == SITE.replace('"10.0.0.1"', '"127.0.0.1"').replace("0x1F6", "1501").replace(
        "  host='plc # 2.example'", '  host="127.0.0.1"\n  tcp_port = 1502'
    )


@pytest.mark.parametrize(
    "text",
    [
        'connection = [{ id = "a", host = "h", tcp_port = 502 }, { host = "g" }]',
        'connection = [{ host = "h" }, { tcp_port = 7, host = "g"}]',
        '[[connection]]\n"host" = "h=,}"\n[[connection]]\r\ntcp_port=5\r\nhost="g"\r\n',
    ],
)
def test_any_way_to_write_a_connection_is_understood(text: str) -> None:
    tree = tomllib.loads(with_endpoints(text, {0: ("::1", 1), 1: ("::1", 65535)}))
    assert [(each["host"], each["tcp_port"]) for each in tree["connection"]] == [("::1", 1), ("::1", 65535)]


def test_nothing_to_replace_leaves_the_text() -> None:
    assert with_endpoints(SITE, {}) == SITE
