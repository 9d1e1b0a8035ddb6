"""A third party's driver, installed for the length of a test: its code and its metadata on the path."""

import sys
from pathlib import Path

import pytest

from edge.domain.driver import DRIVER_API

# What stands between `{before}` and the rest is run when the module is imported.
CODE = """\
from collections.abc import Sequence
from dataclasses import dataclass
from edge.domain.driver import DriverKind

{before}

class Odd:
    def __init__(self, value: int) -> None:
        self.value = value

@dataclass(frozen=True, kw_only=True)
class Options:
    speed: {type} = 1

    def __post_init__(self) -> None:
        {birth}

    def mistakes(self) -> Sequence[str]:
        {mistakes}
        return ()

def mistakes(connection):
    {whole}
    return ()

def cautions(connection):
    {cautions}
    return ()

KIND = DriverKind(
    name="{name}", title={title}, connection_options={options}, device_options=Options, point_options=Options,
    create=lambda connection, context: None, api={api}, mistakes=mistakes, cautions=cautions,
)
OTHER = object()
"""
_USUAL = {
    "before": "",
    "type": "int",
    "birth": "pass",
    "mistakes": "pass",
    "whole": "pass",
    "cautions": "pass",
    "name": "my-bus",
    "title": "'My bus'",
    "options": "Options",
    "api": str(DRIVER_API),
}


def install_driver(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    value: str = "my_bus_driver:KIND",
    entry_point: str = "my-bus",
    **code: str,
) -> None:
    """Pretend that a distribution is installed. `code` replaces places of the module's text."""
    (folder / "my_bus_driver.py").write_text(CODE.format(**_USUAL | code), encoding="utf-8")
    monkeypatch.delitem(sys.modules, "my_bus_driver", raising=False)
    install_entry_point(folder, monkeypatch, entry_point, value)


def install_entry_point(folder: Path, monkeypatch: pytest.MonkeyPatch, entry_point: str, value: str) -> None:
    """Pretend that a distribution with this entry point for a driver is installed."""
    metadata = folder / "my_bus-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: my-bus\nVersion: 1.0\n", encoding="utf-8")
    (metadata / "entry_points.txt").write_text(
        f"[greenhouse_edge.drivers]\n{entry_point} = {value}\n", encoding="utf-8"
    )
    monkeypatch.syspath_prepend(str(folder))
