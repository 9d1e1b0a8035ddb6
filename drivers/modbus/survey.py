"""A first look at a Modbus connection: the units that answer, and the packaged profiles that fit each of them."""

from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace

from drivers.decoders.modbus_device import DeviceCodec, ReadBlock
from drivers.modbus.options import ModbusConnectionOptions, ModbusDeviceOptions, ModbusPointOptions
from drivers.modbus.plan import Block, plan_blocks
from drivers.modbus.scan import ask_units
from drivers.modbus.wire import RequestRefused, Wire, open_wire
from edge.domain.commissioning import DraftConnection, DraftDevice, Look, Wishes
from edge.domain.driver import ConnectionLost, DeviceUnreachable, MalformedResponse
from edge.domain.fit import Fit, best_first, good_values, guessed, published_count
from edge.domain.reading import Reading
from edge.domain.settings import DeviceSettings

# Enough to tell a model by; an energy meter has a dozen.
BLOCKS_MAX = 3
# Some devices are silent where others refuse. Each such question costs the whole bus a response time-out.
SILENCES_MAX = 6


@dataclass(frozen=True, kw_only=True)
class UnitFound:
    """A Modbus unit that answers."""

    unit: int
    answer: str
    # Profiles that fit it, best first.
    fits: Sequence[Fit] = ()


async def look_for_units(
    draft: DraftConnection, options: ModbusConnectionOptions, wishes: Wishes, look: Look
) -> DraftConnection:
    """Ask each unit, and those that answer what each model would be asked. Raises ConnectionLost."""
    models = look.models()
    answers = {}
    async with aclosing(ask_units(options, wishes.units, timeout_ms=wishes.timeout_ms)) as asked:
        async for unit, answer in asked:
            look.tick()
            if answer:
                answers[unit] = answer
    brisk = replace(options, response_timeout_ms=wishes.timeout_ms)
    found = [
        UnitFound(unit=unit, answer=answer, fits=await _fits(brisk, unit, models)) for unit, answer in answers.items()
    ]
    return with_units(draft, found, look)


def with_units(draft: DraftConnection, found: Sequence[UnitFound], look: Look) -> DraftConnection:
    """Add a device for each unit that some profile fits, and a comment for each other one."""
    devices, comments = [], []
    for unit in found:
        fit = look.choose(f"unit {unit.unit}", unit.fits)
        if fit is None:
            why = "no profile was chosen" if unit.fits else "no profile of the package fits"
            comments.append(f"Unit {unit.unit} answered ({unit.answer}); {why}: see `greenhouse-edge probe`.")
            continue
        name = look.new_id(f"{fit.profile}-{unit.unit}")
        devices.append(
            DraftDevice(
                keys={"id": name, "profile": fit.profile, "address": unit.unit}, comments=[guessed(fit, unit.fits)]
            )
        )
    return replace(draft, devices=devices, comments=comments)


async def _fits(options: ModbusConnectionOptions, unit: int, models: Sequence[DeviceSettings]) -> Sequence[Fit]:
    """Return the profiles that fit a unit; none if it hangs up on such questions."""
    try:
        async with open_wire(options) as wire:
            return await fits_of_unit(wire, unit, models)
    except ConnectionLost:
        return ()


async def fits_of_unit(wire: Wire, unit: int, models: Sequence[DeviceSettings]) -> list[Fit]:
    """Ask a unit what each model would be asked, and return those that fit, best first. Raises ConnectionLost."""
    image = _Image(wire, unit)
    fits = []
    for model in models:
        blocks = await _first_blocks(image, model)
        found = _evidence(model, DeviceCodec(model).decoded(blocks)) if blocks else 0
        if found:
            fits.append(
                Fit(
                    profile=model.id,
                    evidence=found,
                    points=published_count(model),
                    bonus=int(_options(model).address == unit),
                )
            )
    return best_first(fits)


def _evidence(model: DeviceSettings, readings: Mapping[str, Reading]) -> int:
    """Count the values that speak for a model; 0 if anything that it publishes speaks against it.

    A zero speaks for nothing: what is not there often reads as 0. Texts and states do not, either.
    """
    values = good_values(model, readings)
    if len(values) < sum(point.publish for point in model.points if point.id in readings):
        return 0
    return sum(1 for value in values if isinstance(value, int | float) and not isinstance(value, bool) and value)


class _Image:
    """What a unit holds, as far as it was asked."""

    def __init__(self, wire: Wire, unit: int) -> None:
        self._wire = wire
        self._unit = unit
        self._known: dict[tuple[str, int, int], ReadBlock | None] = {}
        self._silences = 0

    async def read(self, block: Block) -> ReadBlock | None:
        """Return a block; None if the unit does not give it."""
        key = (block.table, block.address, block.count)
        if key not in self._known:
            self._known[key] = await self._ask(block)
        return self._known[key]

    async def _ask(self, block: Block) -> ReadBlock | None:
        if self._silences >= SILENCES_MAX:
            return None
        try:
            values = await self._wire.read(self._unit, block)
        except DeviceUnreachable:
            self._silences += 1
            return None
        except (RequestRefused, MalformedResponse):
            return None
        return ReadBlock(table=block.table, address=block.address, values=values)


async def _first_blocks(image: _Image, model: DeviceSettings) -> list[ReadBlock]:
    """Read the first blocks of a model; nothing if one of them is not given."""
    points = {point.id: point.options for point in model.points if isinstance(point.options, ModbusPointOptions)}
    blocks = []
    for block in plan_blocks(points, _options(model))[:BLOCKS_MAX]:
        found = await image.read(block)
        if found is None:
            return []
        blocks.append(found)
    return blocks


def _options(model: DeviceSettings) -> ModbusDeviceOptions:
    assert isinstance(model.options, ModbusDeviceOptions)
    return model.options
