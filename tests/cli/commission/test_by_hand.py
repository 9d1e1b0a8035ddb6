"""Where registers stand that came without their place."""

from fakes.command_line import readings, typed


def test_registers_that_the_device_does_not_have_are_placed_nowhere() -> None:
    result = typed("decode", "--profile", "xy-md02", "--registers", "1,2,3")
    assert result.exit_code == 1
    assert "3 registers are more than xy-md02 has from input 1 on; --start" in result.stderr
    assert set(readings("--profile", "xy-md02", "--registers", "0,305,546,7", "--start", "0", "--table", "input")) == {
        "air_temperature",
        "relative_humidity",
    }
    assert typed("decode", "--profile", "xy-md02", "--registers", "1", "--start", "9").exit_code == 1


def test_less_than_a_value_is_none() -> None:
    result = typed("decode", "--profile", "vaisala-gmp252", "--registers", "1234")
    assert result.exit_code == 1
    assert "no point that lies in holding 0 as a whole" in result.stderr


def test_a_text_that_is_not_published_is_found_by_its_length() -> None:
    frame = "01030e09594c3039313631313231303100d990"
    found = readings("--profile", "yosemitech-y520", "--frame", frame, "--all")
    assert found["serial_number"]["value"] == "YL0916112101"


def test_a_frame_of_another_table_is_refused() -> None:
    frame = "0103080262016700060037c206"
    result = typed("decode", "--profile", "xy-md02", "--frame", frame)
    assert result.exit_code == 1
    assert "no point in the table holding" in result.stderr
    result = typed("decode", "--profile", "soil-4-in-1", "--frame", frame, "--table", "input")
    assert "the frame holds values of the table holding, not input" in result.stderr


def test_of_several_blocks_of_one_length_the_first_is_meant() -> None:
    assert set(readings("--profile", "eastron-sdm120", "--registers", "17254,0")) == {"voltage"}


def test_what_a_device_cannot_have_said_is_refused() -> None:
    for given, sentence in (
        (["--profile", "xy-md02", "--line", "1"], "in a --frame or as --registers"),
        (["--profile", "ezo-ph", "--registers", "1"], "in a --line, or in a --frame"),
        (["--profile", "json-climate", "--registers", "1"], "in a --payload with its --topic"),
        (["--profile", "json-climate", "--payload", "{}", "--topic", "a/b"], "says nothing of json-climate"),
        (["--profile", "tasmota-sht3x", "--payload", "{}"], "has several topics"),
        (["--profile", "tasmota-sht3x", "--payload", "{}", "--topic", "x"], "no message of tasmota-sht3x comes on 'x'"),
    ):
        result = typed("decode", *given)
        assert result.exit_code == 1
        assert sentence in result.stderr
