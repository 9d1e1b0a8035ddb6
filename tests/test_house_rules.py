"""The house, kept by a machine: who may import whom, how long a file may be, and which words a name may hold."""

import ast
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.cli import VERBS

ROOT = Path(__file__).parent.parent
FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 40
NESTING_MAX = 3
# A shorter file is opened by two others, or it is a corridor: its reader would find the same lines in its one importer.
ALONE_LINES_MIN = 60
# Files of a driver that each driver has under these names: what it offers on a first day is found by name, not by import.
HOOK_FILES = {"first_day.py", "scan.py", "by_hand.py", "simulate.py"}

# DESIGN section 3. zone: (our own zones it may import, third parties it may import)
ZONES: dict[str, tuple[set[str], set[str]]] = {
    "edge.domain": (set(), set()),
    "drivers.decoders": ({"edge.domain"}, set()),
    "drivers.simulation": ({"edge.domain", "drivers.decoders"}, {"amqtt", "paho", "structlog"}),
    "drivers.opening": (set(), set()),
    "drivers.first_day": ({"edge.domain"}, set()),
    # A driver shows its own devices with the simulation's servers, which know no driver: its hook `simulate`, and
    # nothing else of it, imports them.
    "drivers.modbus": (
        {"edge.domain", "drivers.decoders", "drivers.first_day", "drivers.opening", "drivers.simulation"},
        {"pymodbus", "structlog"},
    ),
    "drivers.serial": (
        {"edge.domain", "drivers.decoders", "drivers.first_day", "drivers.opening", "drivers.simulation"},
        {"serial", "structlog"},
    ),
    "drivers.mqtt": (
        {"edge.domain", "drivers.decoders", "drivers.first_day", "drivers.simulation"},
        {"paho", "structlog"},
    ),
    "drivers.simulated": ({"edge.domain", "drivers.decoders"}, {"structlog"}),
    "drivers": (
        {
            "edge.domain",
            "drivers.decoders",
            "drivers.modbus",
            "drivers.mqtt",
            "drivers.serial",
            "drivers.simulated",
        },
        {"structlog"},
    ),
    "edge.storage": ({"edge.domain"}, {"aiosqlite", "structlog"}),
    "edge.event_store.embedded": (
        {"edge.domain", "edge.event_store"},
        {"esdbclient", "grpc", "google", "aiosqlite", "structlog"},
    ),
    "edge.event_store": ({"edge.domain", "edge.event_store.embedded"}, {"structlog"}),
    "edge.contract": ({"edge.domain"}, {"pydantic"}),
    "edge.collect": ({"edge.domain", "edge.storage"}, {"structlog"}),
    "edge.forward": ({"edge.domain", "edge.storage"}, {"structlog"}),
    "edge.configure": ({"edge.domain", "edge.storage", "edge.contract"}, {"pydantic", "structlog"}),
    "edge.operate": ({"edge.domain", "edge.storage"}, {"starlette", "uvicorn", "prometheus_client", "structlog"}),
    "edge.control": ({"edge.domain", "edge.storage"}, {"structlog"}),
    "edge.settings": ({"edge.domain", "drivers"}, {"pydantic"}),
    # For authors of drivers; nothing of ours imports it.
    "edge.testing": ({"edge.domain", "edge.settings", "drivers"}, set()),
    "edge.gateway": ({"edge", "drivers"}, {"structlog"}),
    "edge.cli": ({"edge", "drivers"}, {"click", "structlog"}),
    "edge.__main__": ({"edge.cli"}, set()),
    "edge": (set(), set()),
}
# Three files of the event store room speak to the library; the rest of it must not.
CLIENTS = {"edge.event_store.client", "edge.event_store.cluster", "edge.event_store.node"}
CLIENT_THIRD_PARTIES = {"esdbclient", "grpc", "google", "structlog"}

# Of these drivers, only the hook `simulate` may import the simulation.
DRIVERS_SIMULATED = {"drivers.modbus", "drivers.serial", "drivers.mqtt"}

BANNED_WORDS = {
    word + plural
    for word in (
        "manager",
        "handler",
        "service",
        "processor",
        "controller",
        "helper",
        "util",
        "common",
        "misc",
    )
    for plural in ("", "s")
} | {"utility", "utilities"}
# Names that a library prescribes.
PRESCRIBED = {
    "add_signal_handler",
    "remove_signal_handler",
    "StreamHandler",
    "handlers",
    "asynccontextmanager",
    "contextmanager",
}


def sources(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


OURS = sources("edge", "drivers")
ALL = [*OURS, *sources("tests")]


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def zone_of(module: str) -> str:
    return max((zone for zone in ZONES if module == zone or module.startswith(zone + ".")), key=len)


def imports_of(path: Path) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, name.name) for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: imports are absolute"
            yield node.lineno, node.module or ""


def may_import(zone: str, module: str, path: Path) -> bool:
    ours, third = ZONES[zone]
    root = module.split(".", maxsplit=1)[0]
    if root in sys.stdlib_module_names:
        return zone != "edge.domain" or root != "asyncio"
    if root not in {"edge", "drivers"}:
        return root in (CLIENT_THIRD_PARTIES if module_of(path) in CLIENTS else third)
    if module == "edge":  # __version__
        return True
    inner = zone_of(module)
    if inner == "edge.testing" != zone:
        return False
    if inner == "drivers.simulation" != zone and zone in DRIVERS_SIMULATED:
        return path.name == "simulate.py"
    return inner == zone or any(inner == allowed or inner.startswith(allowed + ".") for allowed in ours)


@pytest.mark.parametrize("path", OURS, ids=module_of)
def test_a_file_imports_only_what_its_zone_may(path: Path) -> None:
    zone = zone_of(module_of(path))
    wrong = [
        f"{path}:{line}: {zone} may not import {name}"
        for line, name in imports_of(path)
        if not may_import(zone, name, path)
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("path", ALL, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_and_its_functions_stay_short_and_flat(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= FILE_LINES_MAX, f"{path} has more than {FILE_LINES_MAX} lines"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            assert length <= FUNCTION_LINES_MAX, f"{path}:{node.lineno}: {node.name} has {length} lines"
            if path in OURS:
                assert depth(node) <= NESTING_MAX, (
                    f"{path}:{node.lineno}: {node.name} is nested deeper than {NESTING_MAX}"
                )


def depth(function: ast.AST) -> int:
    blocks = ast.If | ast.For | ast.AsyncFor | ast.While | ast.With | ast.AsyncWith | ast.Try | ast.Match

    def below(node: ast.AST, elif_of: ast.If | None = None) -> int:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
            return 0
        is_block = isinstance(node, blocks) and elif_of is None
        deepest = 0
        for child in ast.iter_child_nodes(node):
            chained = isinstance(node, ast.If) and isinstance(child, ast.If) and node.orelse == [child]
            deepest = max(deepest, below(child, node if chained and isinstance(node, ast.If) else None))
        return deepest + is_block

    return max((below(child) for child in ast.iter_child_nodes(function)), default=0)


def modules_named_in(path: Path) -> set[str]:
    named = set()
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            named |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            named |= {f"{node.module}", *(f"{node.module}.{name.name}" for name in node.names)}
    return named - {module_of(path)}


def is_corridor(path: Path, importers: int) -> bool:
    is_decoder = module_of(path).startswith("drivers.decoders.")
    is_door = path.name in {"__init__.py", "__main__.py"}
    is_hook = path.name in HOOK_FILES and path.parent.parent == ROOT / "drivers"
    is_verb = module_of(path) in {place.split(":")[0] for place, _ in VERBS.values()}
    is_short = path.read_text(encoding="utf-8").count("\n") < ALONE_LINES_MIN
    return is_short and importers < 2 and not (is_decoder or is_door or is_hook or is_verb)


def test_a_short_file_has_two_importers_or_is_a_devices_decoder() -> None:
    importers = Counter(module for path in OURS for module in modules_named_in(path))
    corridors = {module_of(path) for path in OURS if is_corridor(path, importers[module_of(path)])}
    assert corridors == set(), "merge them with their one importer"


def words_of(name: str) -> set[str]:
    return {word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)}


def names_of(path: Path) -> Iterator[tuple[int, str]]:
    yield 0, path.stem
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.lineno, node.name
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id


@pytest.mark.parametrize("path", ALL, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_name_holds_a_word_that_says_nothing(path: Path) -> None:
    wrong = [
        f"{path}:{line}: {name}"
        for line, name in names_of(path)
        if name not in PRESCRIBED and words_of(name) & BANNED_WORDS
    ]
    assert not wrong, "\n".join(wrong)


def test_no_test_folder_is_a_package() -> None:
    assert not list((ROOT / "tests").rglob("__init__.py"))


def test_our_tests_would_notice() -> None:
    assert words_of("ConnectionManager") & BANNED_WORDS
    assert words_of("tests_utils") & BANNED_WORDS
    assert not words_of("commonly_serviced") & BANNED_WORDS
    assert not may_import("edge.domain", "asyncio", ROOT / "edge/domain/clock.py")
    assert not may_import("edge.collect", "edge.forward.forwarder", ROOT / "edge/collect/collector.py")
    assert may_import("edge.collect", "edge.storage.outbox", ROOT / "edge/collect/collector.py")
    assert not may_import("edge.cli", "edge.testing.site", ROOT / "edge/cli/check.py")
    nested = ast.parse("def f():\n for a in b:\n  if a:\n   pass\n  elif b:\n   while c:\n    pass")
    assert depth(nested.body[0]) == 3
    assert is_corridor(ROOT / "edge/domain/backoff.py", importers=1)
    assert not is_corridor(ROOT / "edge/domain/backoff.py", importers=2)
    assert not is_corridor(ROOT / "edge/storage/outbox.py", importers=1)
    assert not is_corridor(ROOT / "drivers/decoders/mhz19.py", importers=1)
    assert not is_corridor(ROOT / "edge/__main__.py", importers=0)
    assert not is_corridor(ROOT / "drivers/serial/simulate.py", importers=0)
    assert {"edge.storage.sql", "edge.storage.database"} <= modules_named_in(ROOT / "edge/storage/upkeep.py")


def tracked() -> list[Path]:
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True)
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def test_nothing_names_a_package_index_or_a_developers_machine() -> None:
    # Written in two halves, so that this file does not name them either.
    forbidden = [
        "pypi" + ".org",
        "python" + "hosted",
        "registry.npm" + "js",
        "deb.deb" + "ian.org",
        "/root" + "/",
        "/work" + "/",
        "/opt/py" + "pi",
    ]
    wrong = [
        f"{path.relative_to(ROOT)}: {word}"
        for path in tracked()
        for word in forbidden
        if word in path.read_text(encoding="utf-8", errors="replace")
    ]
    assert not wrong, "\n".join(wrong)


def test_nothing_is_left_for_later_in_a_comment() -> None:
    pattern = re.compile("|".join(("TO" + "DO", "FIX" + "ME", "XX" + "X", "HA" + "CK")))
    wrong = [str(path) for path in ALL if pattern.search(path.read_text(encoding="utf-8"))]
    assert not wrong
