"""A third party's driver with every hook of the first day: thermometers that are files in a folder, as 1-Wire has them."""

import shutil
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from edge.domain.by_hand import Given, Undecodable, bytes_of, line_of, numbers_of
from edge.domain.commissioning import (
    AnswerWrong,
    DraftConnection,
    DraftDevice,
    Endpoint,
    FirstDay,
    Found,
    Look,
    RegisterRange,
    Search,
    Simulation,
    Stretch,
    Survey,
    Way,
    Wishes,
    WishImpossible,
)
from edge.domain.driver import ConnectionLost, DeviceUnreachable, DriverContext, DriverKind
from edge.domain.fit import best_first, fit_of, guessed
from edge.domain.reading import Reading, Sample
from edge.domain.settings import ConnectionSettings, DeviceSettings

UNITS_MAX = 64


@dataclass(frozen=True, kw_only=True)
class DripConnection:
    folder: str
    credential: str | None = None
    is_visitor: bool = False


@dataclass(frozen=True, kw_only=True)
class DripDevice:
    rom: str


@dataclass(frozen=True, kw_only=True)
class DripPoint:
    """Each device has one value."""


class DripDriver:
    def __init__(self, connection: ConnectionSettings) -> None:
        self._options = options_of(connection)
        self._devices = {device.id: device for device in connection.devices}

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        files_of(self._options)
        yield

    async def poll(self, device_id: str) -> Sample:
        device = self._devices[device_id]
        assert isinstance(device.options, DripDevice)
        file = Path(self._options.folder) / device.options.rom
        if not file.exists():
            raise DeviceUnreachable(f"{file.name} is not there")
        value = float(file.read_text()) + (100 if self._options.is_visitor else 0)
        return sample(device, value)


def options_of(connection: ConnectionSettings) -> DripConnection:
    assert isinstance(connection.options, DripConnection)
    return connection.options


def files_of(options: DripConnection) -> list[Path]:
    folder = Path(options.folder)
    if not folder.is_dir():
        raise ConnectionLost(f"{folder} is not there")
    return sorted(folder.iterdir())


def sample(device: DeviceSettings, value: float) -> Sample:
    return Sample(
        device_id=device.id, readings={point.id: Reading(value=value, unit=point.unit) for point in device.points}
    )


def scan(connection: ConnectionSettings, wishes: Wishes) -> Search:
    if max(wishes.units) > UNITS_MAX:
        raise WishImpossible(f"a drip bus has at most {UNITS_MAX} devices", wish="units")
    return Search(rows_are="roms", effort="listed", steps=1, run=lambda _context: listed(connection))


async def listed(connection: ConnectionSettings) -> AsyncGenerator[Sequence[Found], None]:
    known = {device.options.rom: device.id for device in connection.devices if isinstance(device.options, DripDevice)}
    yield [
        Found(name=file.name, answer=file.read_text(), device_id=known.get(file.name, ""))
        for file in files_of(options_of(connection))
    ]


async def probe(connection: ConnectionSettings, wanted: RegisterRange) -> AsyncGenerator[Stretch, None]:
    files_of(options_of(connection))
    yield Stretch(address=wanted.start, count=wanted.count, values=[215] * wanted.count)


def decode(device: DeviceSettings, given: Given) -> Sequence[Sample]:
    if given.line is not None:
        return [sample(device, float(line_of(given.line)))]
    if given.registers is not None:
        return [sample(device, numbers_of(given.registers)[0] / 10)]
    if given.frame is not None:
        return [sample(device, int.from_bytes(bytes_of(given.frame)) / 100)]
    raise Undecodable("a thermometer's value comes in a --line or a --frame")


def read_folder(text: str) -> DripConnection:
    if not Path(text).is_absolute():
        raise AnswerWrong(f"{text!r} is no whole path")
    return DripConnection(folder=text)


def draft(options: object) -> DraftConnection:
    assert isinstance(options, DripConnection)
    keys = {"folder": options.folder} | ({} if options.credential is None else {"credential": options.credential})
    return DraftConnection(name="drip", keys=keys, example={"id": "slab", "profile": "drip", "rom": "28-1"})


def survey(options: object, wishes: Wishes) -> Survey:
    if max(wishes.units) > 250:
        raise WishImpossible("that many seconds are none")
    return Survey(what="files", steps=1, run=lambda look: look_around(options, look))


async def look_around(options: object, look: Look) -> DraftConnection:
    assert isinstance(options, DripConnection)
    devices = []
    for file in files_of(options):
        models = look.models()
        tried = (fit_of(model, sample(model, float(file.read_text())).readings) for model in models)
        fits = best_first(fit for fit in tried if fit is not None)
        fit = look.choose(file.name, fits)
        if fit is not None:
            keys = {"id": look.new_id(file.name), "profile": fit.profile, "rom": file.name}
            devices.append(DraftDevice(keys=keys, comments=[guessed(fit, fits)]))
    look.tick()
    return replace(draft(options), devices=devices)


@asynccontextmanager
async def simulate(
    connections: Sequence[ConnectionSettings], simulation: Simulation
) -> AsyncIterator[Mapping[str, Endpoint]]:
    endpoints = {}
    for connection in connections:
        folder = simulation.ports / connection.id
        folder.mkdir(parents=True)
        for device in connection.devices:
            assert isinstance(device.options, DripDevice)
            (value,) = simulation.house.measured(device).values()
            (folder / device.options.rom).write_text(str(value))
        endpoints[connection.id] = Endpoint(changes={"folder": str(folder)}, sentence=f"files in {folder}")
    yield endpoints
    for connection in connections:
        shutil.rmtree(simulation.ports / connection.id)


def visiting(connection: ConnectionSettings) -> ConnectionSettings:
    return replace(connection, options=replace(options_of(connection), is_visitor=True))


def create(connection: ConnectionSettings, _context: DriverContext) -> DripDriver:
    return DripDriver(connection)


BARE = DriverKind(
    name="drip-bus",
    title="Thermometers that are files",
    connection_options=DripConnection,
    device_options=DripDevice,
    point_options=DripPoint,
    create=create,
)
KIND = replace(
    BARE,
    stand_ins={"rom": "28-0"},
    visiting=visiting,
    scan=scan,
    probe=probe,
    decode=decode,
    first_day=FirstDay(
        ways=[
            Way(name="drip-folder", metavar="FOLDER", help="A folder of thermometers.", read=read_folder),
            # One that is called like an option of ours, and one like a built-in driver's.
            Way(name="units", metavar="FOLDER", help="Never seen.", read=read_folder),
            Way(name="mqtt", metavar="FOLDER", help="Never seen.", read=read_folder),
        ],
        draft=draft,
        survey=survey,
    ),
    simulate=simulate,
)
