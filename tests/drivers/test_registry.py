import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import drivers
from edge.domain.driver import DRIVER_API, DriverKind

KIND = """\
from dataclasses import dataclass
from edge.domain.driver import DriverKind

@dataclass(frozen=True, kw_only=True)
class Options:
    speed: int = 1

KIND = DriverKind(
    name="my-bus", title="My bus", connection_options=Options, device_options=Options, point_options=Options,
    create=lambda connection: None, api={api},
)
OTHER = object()
"""

Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Pretend that a third party's distribution is installed: its code and its metadata on the path."""

    def installed(value: str = "my_bus_driver:KIND", *, name: str = "my-bus", api: int = DRIVER_API) -> None:
        (tmp_path / "my_bus_driver.py").write_text(KIND.format(api=api))
        metadata = tmp_path / "my_bus-1.0.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: my-bus\nVersion: 1.0\n")
        (metadata / "entry_points.txt").write_text(f"[greenhouse_edge.drivers]\n{name} = {value}\n")
        monkeypatch.syspath_prepend(str(tmp_path))
        monkeypatch.delitem(sys.modules, "my_bus_driver", raising=False)

    return installed


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
    install(api=DRIVER_API + 1)
    with pytest.raises(drivers.DriverUnknown, match=f"driver API {DRIVER_API + 1}; this gateway has {DRIVER_API}"):
        drivers.driver_kind("my-bus")
    assert "my-bus" not in drivers.driver_kinds()


@pytest.mark.parametrize("value", ["my_bus_driver:NOTHING", "no_such_module:KIND"])
def test_a_driver_that_cannot_be_imported_is_refused_with_the_reason(install: Install, value: str) -> None:
    install(value)
    with pytest.raises(drivers.DriverUnknown, match="cannot be imported: "):
        drivers.driver_kind("my-bus")


def test_an_entry_point_that_is_no_driver_is_refused(install: Install) -> None:
    install("my_bus_driver:OTHER")
    with pytest.raises(drivers.DriverUnknown, match="not a DriverKind"):
        drivers.driver_kind("my-bus")


def test_a_built_in_name_cannot_be_taken(install: Install) -> None:
    install(name="modbus")
    assert drivers.driver_kind("modbus").title.startswith("Modbus devices")
    assert drivers.driver_names().count("modbus") == 1


def test_a_kind_is_described_without_loading_its_transport() -> None:
    code = "import drivers, sys; drivers.driver_kinds(); sys.exit('pymodbus' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
