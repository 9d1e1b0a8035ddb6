import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Protocol

import pytest

import drivers
from edge.domain.driver import DRIVER_API, DriverKind
from fakes.foreign_driver import install_driver

MY_BUS = r"driver 'my-bus' \(my_bus_driver:KIND of my-bus 1\.0\)"


class Install(Protocol):
    def __call__(self, *, value: str = ..., entry_point: str = ..., **code: str) -> None: ...


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    return partial(install_driver, tmp_path, monkeypatch)


def test_the_built_in_kinds_are_there() -> None:
    kinds = drivers.driver_kinds()
    assert {"modbus", "simulated"} <= kinds.keys()
    assert all(kind.name == name for name, kind in kinds.items())


def test_an_unknown_name_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(drivers.DriverUnknown, match="'modbuss'; there are: modbus, serial, mqtt, simulated"):
        drivers.driver_kind("modbuss")


def test_a_third_party_driver_is_found_by_its_entry_point(install: Install) -> None:
    install()
    kind = drivers.driver_kind("my-bus")
    assert isinstance(kind, DriverKind)
    assert kind.title == "My bus"
    assert "my-bus" in drivers.driver_names()
    assert "my-bus" in drivers.driver_kinds()


def test_a_driver_for_another_api_is_refused(install: Install) -> None:
    install(api=str(DRIVER_API + 1))
    with pytest.raises(drivers.DriverUnknown, match=f"driver API {DRIVER_API + 1}; this gateway has {DRIVER_API}"):
        drivers.driver_kind("my-bus")
    assert "my-bus" not in drivers.driver_kinds()


@pytest.mark.parametrize("value", ["my_bus_driver:NOTHING", "no_such_module:KIND"])
def test_a_driver_that_cannot_be_imported_is_refused_with_the_reason(install: Install, value: str) -> None:
    install(value=value)
    with pytest.raises(drivers.DriverUnknown, match="cannot be imported: "):
        drivers.driver_kind("my-bus")


@pytest.mark.parametrize(
    ("raised", "told"),
    [
        ("RuntimeError('no licence')", "RuntimeError: no licence"),
        ("SystemExit(3)", "SystemExit: 3"),
        ("OSError(13, 'denied')", r"PermissionError: \[Errno 13\] denied"),
        ("GeneratorExit()", "GeneratorExit: "),
        ("type('VendorsExit', (BaseException,), {})('enough')", "VendorsExit: enough"),
    ],
)
def test_a_module_that_raises_when_it_is_imported_is_named_and_harms_no_other(
    install: Install, raised: str, told: str
) -> None:
    install(before=f"raise {raised}")
    with pytest.raises(drivers.DriverUnknown, match=f"^{MY_BUS} cannot be imported: {told}$"):
        drivers.driver_kind("my-bus")
    sentences: list[str] = []
    assert drivers.driver_kinds(sentences.append).keys() == {"modbus", "serial", "mqtt", "simulated"}
    (sentence,) = sentences
    assert "my-bus 1.0" in sentence


def test_ctrl_c_while_a_driver_is_imported_is_the_users(install: Install) -> None:
    install(before="raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        drivers.driver_kind("my-bus")


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ({"name": "your-bus"}, "calls itself 'your-bus'; its entry point must have the same name"),
        ({"options": "dict"}, "has <class 'dict'> for options; they must be a dataclass"),
        ({"options": "Options(speed=2)"}, r"has Options\(speed=2\) for options; they must be a dataclass"),
    ],
)
def test_a_kind_that_could_never_be_used_is_refused(install: Install, code: dict[str, str], told: str) -> None:
    install(**code)
    with pytest.raises(drivers.DriverUnknown, match=f"^{MY_BUS} {told}$"):
        drivers.driver_kind("my-bus")


def test_a_bug_of_a_built_in_driver_stays_the_bug_that_it_is() -> None:
    with pytest.raises(ZeroDivisionError), drivers.foreign_code("modbus", "broke"):
        raise ZeroDivisionError


def test_an_entry_point_that_is_no_driver_is_refused(install: Install) -> None:
    install(value="my_bus_driver:OTHER")
    with pytest.raises(drivers.DriverUnknown, match="not a DriverKind"):
        drivers.driver_kind("my-bus")


def test_a_built_in_name_cannot_be_taken(install: Install) -> None:
    install(entry_point="modbus")
    assert drivers.driver_kind("modbus").title.startswith("Modbus devices")
    assert drivers.driver_names().count("modbus") == 1


def test_a_kind_is_described_without_loading_its_transport() -> None:
    heavy = {"pymodbus", "serial", "paho", "asyncio", "drivers.simulation"}
    code = f"import drivers, sys; drivers.driver_kinds(); print(*{heavy} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "\n"
