import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.decoders.json_path import MISSING, PATH_LENGTH_MAX, PathMalformed, key_path, parse_path
from drivers.decoders.payload import JsonValue

DOCUMENT: JsonValue = {
    "SI7021": {"Temperature": 17.7},
    "AHT1X-0x38": {"Humidity": 61.9},
    "temperature:0": {"tC": 19.8},
    "key with . and [": {"x": 1},
    "null": None,
    "LD2410": {"Distance": [200.0, 181.0, [1, 2]]},
    "DS18B20-1": {"Id": "00000566CC39", "Temperature": 13.3},
    "DS18B20-2": {"Id": "0000059352D4", "Temperature": 1.2},
    "metrics": [{"name": "Supply Voltage", "value": 12.3}, {"name": "Load", "id": 7, "on": True}],
    "Größe": 3,
}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("SI7021.Temperature", 17.7),
        ("AHT1X-0x38.Humidity", 61.9),
        ('"AHT1X-0x38".Humidity', 61.9),
        ('"temperature:0".tC', 19.8),
        ("temperature:0.tC", 19.8),
        ('"key with . and [".x', 1),
        (r'"key with \u002e and [".x', 1),
        ("LD2410.Distance[1]", 181.0),
        ("LD2410.Distance[2][0]", 1),
        ('metrics[name="Supply Voltage"].value', 12.3),
        ("metrics[name=Load].id", 7),
        ("metrics[id=7].name", "Load"),
        ("metrics[on=true].id", 7),
        ('*[Id="0000059352D4"].Temperature', 1.2),
        ("[Id=00000566CC39].Temperature", 13.3),
        ("Größe", 3),
        ("null", None),
    ],
)
def test_a_path_leads_to_its_value(path: str, value: JsonValue) -> None:
    assert parse_path(path).find(DOCUMENT) == value


@pytest.mark.parametrize(
    "path",
    [
        "SI7022.Temperature",
        "SI7021.Temperature.deeper",
        "SI7021[0]",
        "LD2410.Distance[3]",
        "LD2410.Distance.x",
        "metrics[name=Gone].value",
        'metrics[id="7"].name',
        "metrics[on=1].id",
        "SI7021.Temperature[a=1]",
        "null.x",
        "[0]",
    ],
)
def test_what_is_not_there_is_missing_and_not_null(path: str) -> None:
    assert parse_path(path).find(DOCUMENT) is MISSING


def test_a_list_as_the_whole_document_has_items() -> None:
    assert parse_path("[1].x").find([{}, {"x": 2}]) == 2


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("", "it is empty"),
        (".a", "at character 1 a key is expected"),
        ("a..b", "at character 3 a key is expected"),
        ("a.", "at character 3 a key is expected"),
        ("a b", "at character 2 a dot or [ is expected"),
        ('a."b', "at character 3 a key is expected"),
        ("a[", "at character 2 an item is expected"),
        ("a[-1]", "at character 2 an item is expected"),
        ("a[b=]", "at character 2 an item is expected"),
        ("a[0]b", "at character 5 a dot or [ is expected"),
        ("*", "at character 1 a key is expected"),
        ("*.a", "at character 1 a key is expected"),
        (r'a."\x"', "at character 3 the quotes hold"),
        ("a" * (PATH_LENGTH_MAX + 1), "it is longer than 256 characters"),
    ],
)
def test_a_mistake_in_a_path_is_told_with_its_place(path: str, said: str) -> None:
    with pytest.raises(PathMalformed) as caught:
        parse_path(path)
    assert str(caught.value).startswith(said)


@settings(deadline=None)
@given(st.text(alphabet=st.sampled_from('ab.[]"*=0 \\:é\n'), max_size=30) | st.text(max_size=40))
def test_any_text_is_a_path_or_a_named_mistake(text: str) -> None:
    try:
        path = parse_path(text)
    except PathMalformed:
        return
    path.find(DOCUMENT)


@settings(deadline=None)
@given(st.text(min_size=1, max_size=40))
def test_any_key_can_be_quoted(key: str) -> None:
    document: JsonValue = {key: 5}
    assert parse_path(json.dumps(key)).find(document) == 5
    assert key_path(key).find(document) == 5


def test_a_path_of_many_steps_is_walked() -> None:
    document: JsonValue = 1
    for _ in range(80):
        document = [document]
    assert parse_path("[0]" * 80).find(document) == 1
