"""A third party's distribution of profiles, installed for the length of a test."""

import sys
from pathlib import Path

import pytest

PROFILE = """\
[profile]
id = "{name}"
version = 1
driver = "{driver}"
title = "A probe of {maker}"
source = "its maker"
[point.air_temperature]
"""


def install_profiles(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    *names: str,
    maker: str = "acme",
    value: str = "",
    driver: str = "simulated",
) -> Path:
    """Pretend that a maker's distribution is installed; returns where its profiles of these names lie.

    Its package ends the program when it is imported. `value` is its entry point's; else the folder of its profiles.
    """
    package = folder / maker / f"{maker}_sensors"
    profiles = package / "profiles"
    profiles.mkdir(parents=True)
    (package / "__init__.py").write_text("raise SystemExit(3)")
    for name in names:
        text = PROFILE.format(name=name, driver=driver, maker=maker)
        (profiles / f"{name}.toml").write_text(text, encoding="utf-8")
    metadata = folder / maker / f"{maker}_sensors-1.2.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {maker}-sensors\nVersion: 1.2\n")
    (metadata / "entry_points.txt").write_text(
        f"[greenhouse_edge.profiles]\nmine = {value or f'{maker}_sensors.profiles'}\n"
    )
    monkeypatch.syspath_prepend(str(folder / maker))
    monkeypatch.delitem(sys.modules, f"{maker}_sensors", raising=False)
    return profiles
