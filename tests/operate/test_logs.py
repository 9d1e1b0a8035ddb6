import io
import json
import logging
import os
import pty
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from edge.operate.logs import configure_logs


@pytest.fixture(autouse=True)
def restored_logging() -> Iterator[None]:
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    yield
    root.handlers[:] = before
    root.setLevel(level)
    structlog.reset_defaults()


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_is_one_json_object_with_event_level_time_and_fields() -> None:
    stream = io.StringIO()
    configure_logs(stream)
    structlog.get_logger().warning("device_connection_lost", device_id="bench3-climate", failures=3)
    (line,) = lines(stream)
    assert line["event"] == "device_connection_lost"
    assert line["level"] == "warning"
    assert line["device_id"] == "bench3-climate"
    assert line["failures"] == 3
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+Z", str(line["timestamp"]))


def test_debug_is_left_out_unless_asked_for() -> None:
    stream = io.StringIO()
    configure_logs(stream)
    structlog.get_logger().debug("poll_finished")
    assert stream.getvalue() == ""
    configure_logs(stream, level=logging.DEBUG)
    structlog.get_logger().debug("poll_finished")
    assert lines(stream)[0]["event"] == "poll_finished"


def test_a_librarys_sentence_goes_through_the_same_chain_under_one_constant_name() -> None:
    stream = io.StringIO()
    configure_logs(stream)
    logging.getLogger("somebody").error("no luck with %s", "this")
    (line,) = lines(stream)
    assert (line["event"], line["message"], line["logger"]) == ("library_logged", "no luck with this", "somebody")


def test_pymodbus_errors_for_each_absent_unit_are_not_repeated() -> None:
    stream = io.StringIO()
    configure_logs(stream)
    logging.getLogger("pymodbus.logging").error("No response received after 0 retries")
    assert stream.getvalue() == ""


@pytest.mark.parametrize("through_library", [True, False])
def test_passwords_never_reach_the_log(*, through_library: bool) -> None:
    stream = io.StringIO()
    configure_logs(stream)
    if through_library:
        logging.getLogger("somebody").error("cannot reach esdb://admin:changeit@central:2113?tls=true")
    else:
        structlog.get_logger().error("event_store_lost", uri="esdb://admin:changeit@central:2113", password="changeit")
    assert "changeit" not in stream.getvalue()
    assert "central:2113" in stream.getvalue()


def test_no_part_of_a_password_reaches_the_log_wherever_it_stands() -> None:
    stream = io.StringIO()
    configure_logs(stream)
    uri = "esdb://admin:change@it@central:2113"
    try:
        raise ValueError(f"no answer from {uri}")
    except ValueError:
        structlog.get_logger().exception("driver_failed", tried=[uri], settings={"uri": uri})
    assert "it@central" not in stream.getvalue()
    assert "change" not in stream.getvalue()
    (line,) = lines(stream)
    assert line["tried"] == ["esdb://…@central:2113"]


def test_a_traceback_is_told_in_the_line_itself() -> None:
    stream = io.StringIO()
    configure_logs(stream)
    try:
        raise ValueError("odd frame")
    except ValueError:
        structlog.get_logger().exception("driver_failed")
    (line,) = lines(stream)
    assert "ValueError: odd frame" in str(line["exception"])


def test_under_journald_a_line_starts_with_its_severity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (tmp_path / "journal").open("w") as stream:
        status = os.fstat(stream.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino}")
        configure_logs(stream)
        structlog.get_logger().error("disk_full")
        structlog.get_logger().info("disk_freed")
    first, second = (tmp_path / "journal").read_text().splitlines()
    assert first.startswith('<3>{"')
    assert second.startswith('<6>{"')


def test_at_a_terminal_lines_are_for_people() -> None:
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as terminal:
        configure_logs(terminal)
        structlog.get_logger().info("gateway_started", gateway_id="north-1")
        terminal.flush()
        text = os.read(ours, 4096).decode()
    os.close(ours)
    assert "gateway_started" in text
    assert not text.lstrip().startswith("{")
