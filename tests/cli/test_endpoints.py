import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.cli.endpoints import Changes, with_values

SITE = """\
# The house.
[[connection]]
id = "a"            # first
driver = "modbus"
host = "10.0.0.1"   # the cabinet "left"
tcp_port = 0x1F6    # 502
[[connection]]
id = "b"
  driver = 'mqtt'  # radio
  credential = "broker = # 2"   # whose
  url='mqtts://plc # 2.example'
[[connection.device]]
id = "x"
host = "not a connection's"
[[connection]]
id = "c"
driver = "simulated"
"""


def tcp(*indices: int) -> Changes:
    hosts: Changes = {("connection", index, "host"): "127.0.0.1" for index in indices}
    return {**hosts, **{("connection", index, "tcp_port"): 1501 + index for index in indices}}


def test_values_are_replaced_added_and_left_out_and_all_else_stays() -> None:
    changes: Changes = {
        **tcp(0),
        ("connection", 1, "url"): "mqtt://127.0.0.1:1",
        ("connection", 1, "credential"): None,
        ("connection", 1, "client_id"): "sim",
        ("connection", 1, "ca_file"): None,
    }
    assert with_values(SITE, changes) == SITE.replace('"10.0.0.1"', '"127.0.0.1"').replace("0x1F6", "1501").replace(
        "'mqtts://plc # 2.example'", '"mqtt://127.0.0.1:1"'
    ).replace('  credential = "broker = # 2"   # whose\n', "").replace(
        "'mqtt'  # radio", "'mqtt'\n  client_id = \"sim\"  # radio"
    )


@pytest.mark.parametrize(
    "text",
    [
        'connection = [{ driver = "m", host = "h", tcp_port = 502, baud = 1 }, { driver = "m", host = "g", baud=2 }]',
        'connection = [{ baud = 3, driver = "m" }, { tcp_port = 7, baud = 3, driver = "m", host = "g"}]',
        '[[connection]]\n"host" = "h=,}"\n"baud" = 4 # four\ndriver="m"\n[[connection]]\r\ntcp_port=5\r\ndriver="m"\r\nbaud=1',
        '[[connection]]\nhost = """\nh"""\ndriver = \'\'\'m\'\'\'\nbaud = 1\n[[connection]]\n driver = "m"\n',
    ],
)
def test_any_way_to_write_a_connection_is_understood(text: str) -> None:
    without: Changes = {("connection", index, "baud"): None for index in (0, 1)}
    tree = tomllib.loads(with_values(text, {**tcp(0, 1), **without}).replace("\r\n", "\n"))
    for index, connection in enumerate(tree["connection"]):
        assert connection == {"driver": "m", "host": "127.0.0.1", "tcp_port": 1501 + index}


def test_nothing_to_replace_leaves_the_text() -> None:
    assert with_values(SITE, {}) == SITE


@given(st.text(st.characters(codec="utf-8", exclude_characters="\x7f"), max_size=40))
def test_any_value_comes_back_as_it_was(value: str) -> None:
    tree = tomllib.loads(with_values(SITE, {("connection", 0, "host"): value}))
    assert tree["connection"][0]["host"] == value
