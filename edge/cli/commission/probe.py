"""`probe`: registers of an unknown device in every type and order, the plausible ones marked."""

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

import click

from drivers.decoders.guess import Guess, GuessedRegister, guess
from drivers.decoders.modbus_options import BIT_TABLES, Table
from drivers.modbus.options import ModbusConnectionOptions
from edge.cli import EXIT_FAILED, EXIT_TEMPORARY
from edge.cli.commission.by_hand import TABLES
from edge.cli.commission.probing import BLOCK_LENGTH, Stretch, joined, read_range
from edge.cli.commission.progress import progress
from edge.cli.commission.site import connection_of, load, log_errors_only
from edge.cli.commission.typed import Undecodable, numbers_of
from edge.domain.driver import DeviceUnreachable, DriverError
from edge.domain.event import Json
from edge.domain.settings import ConnectionSettings
from edge.operate.threads import run_leaving_threads

REGISTERS_MAX = 2000
# Types in which neither words nor bytes can be exchanged are named without an order.
PLAIN_ORDER = "ABCD"


@click.command()
@click.argument("site_file", metavar="[SITE.toml", type=click.Path(path_type=Path), required=False)
@click.argument("connection_id", metavar="CONNECTION]", required=False)
@click.option("--unit", type=click.IntRange(0, 255), default=1, show_default=True, help="The unit id.")
@click.option("--table", type=click.Choice(TABLES), default="holding", show_default=True)
@click.option("--start", type=click.IntRange(0, 0xFFFF), default=0, show_default=True, help="The first address.")
@click.option(
    "--count",
    type=click.IntRange(1, REGISTERS_MAX),
    default=BLOCK_LENGTH,
    show_default=True,
    help="How many registers.",
)
@click.option("--timeout-ms", type=click.IntRange(10, 60_000), help="How long each answer is waited for.")
@click.option("--registers", metavar="305,546", help="Instead of reading: these.")
@click.option("--all", "with_all", is_flag=True, help="Every type and order, not only what is plausible (marked *).")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, with every type and order.")
def probe(
    site_file: Path | None,
    connection_id: str | None,
    *,
    unit: int,
    table: Table,
    start: int,
    count: int,
    timeout_ms: int | None,
    registers: str | None,
    with_all: bool,
    as_json: bool,
) -> None:
    """Show registers in every type and order side by side, to find out what an unknown device tells.

    Addresses are those on the wire, from 0. Nothing is written. Stop the daemon first where it holds the port. Exit
    codes: 0 the unit gave something, 1 it refused all, 75 it does not answer, 78 the site file is wrong.
    """
    log_errors_only()
    if registers is not None:
        stretches = [_typed(registers, start)]
    elif site_file is None or connection_id is None:
        raise click.UsageError("name a SITE.toml and a CONNECTION of it, or give --registers")
    else:
        if start + count > 0x10000:
            raise click.UsageError(f"from {start} on there are only {0x10000 - start} addresses")
        connection = connection_of(load(site_file), connection_id)
        stretches = _read(_options(connection, timeout_ms), unit, table, range(start, start + count))
    if as_json:
        click.echo(json.dumps(_record(stretches, unit, table), indent=2, ensure_ascii=False))
    else:
        click.echo("\n".join(_page(stretches, with_all=with_all)))
    sys.exit(0 if any(stretch.values for stretch in stretches) else EXIT_FAILED)


def _typed(text: str, start: int) -> Stretch:
    try:
        numbers = numbers_of(text)
    except Undecodable as error:
        raise click.BadParameter(str(error), param_hint="--registers") from error
    return Stretch(address=start, count=len(numbers), values=numbers)


def _options(connection: ConnectionSettings, timeout_ms: int | None) -> ModbusConnectionOptions:
    options = connection.options
    if not isinstance(options, ModbusConnectionOptions):
        raise click.UsageError(f"{connection.id} has the driver {connection.driver!r}; only Modbus has registers")
    return options if timeout_ms is None else replace(options, response_timeout_ms=timeout_ms)


def _read(options: ModbusConnectionOptions, unit: int, table: Table, addresses: range) -> list[Stretch]:
    try:
        return joined(run_leaving_threads(_carried_out(options, unit, table, addresses)))
    except DriverError as error:
        click.echo(error, err=True)
        hint = "; `scan` shows which units do" if isinstance(error, DeviceUnreachable) else ""
        click.echo(f"unit {unit} could not be read{hint}", err=True)
        sys.exit(EXIT_TEMPORARY)


async def _carried_out(options: ModbusConnectionOptions, unit: int, table: Table, addresses: range) -> list[Stretch]:
    stretches: list[Stretch] = []
    reading = read_range(options, unit, table, start=addresses.start, count=len(addresses))
    with progress(len(addresses), "addresses") as bar:
        async with aclosing(reading) as parts:
            async for stretch in parts:
                bar.update(stretch.count)
                stretches.append(stretch)
    return stretches


def _page(stretches: Sequence[Stretch], *, with_all: bool) -> Iterator[str]:
    for stretch in stretches:
        if stretch.refusal:
            last = stretch.address + stretch.count - 1
            place = f"{stretch.address}" if stretch.count == 1 else f"{stretch.address}-{last}"
            yield f"{place:>5}  not given: {stretch.refusal}"
        elif isinstance(stretch.values[0], bool):
            for index, bit in enumerate(stretch.values):
                yield f"{stretch.address + index:>5}  {int(bit)}"
        else:
            for row in guess([int(value) for value in stretch.values], start=stretch.address):
                yield from _rows(row, with_all=with_all)


def _rows(row: GuessedRegister, *, with_all: bool) -> Iterator[str]:
    """One line for each way to read on from an address; the address and its register stand in the first."""
    head = f"{row.address:>5}  0x{row.register:04X} {row.register:>5}  "
    ways = [way for way in row.guesses if with_all or way.is_plausible]
    if not ways:
        yield head.rstrip()
    while ways:
        way = ways[0]
        # What two types read alike is one line.
        alike = [other for other in ways if _sense(other) == _sense(way)]
        ways = [other for other in ways if other not in alike]
        for text in _way(way, "/".join(other.type for other in alike), is_marked=with_all):
            yield head + text
            head = " " * len(head)


def _sense(way: Guess) -> tuple[object, ...]:
    return way.word_order, way.length, way.value, way.is_plausible


def _way(way: Guess, types: str, *, is_marked: bool) -> Iterator[str]:
    """A line with type, order and value; each scale that makes something known of it has its own."""
    mark = ("* " if way.is_plausible else "  ") if is_marked else ""
    order = "" if way.word_order == PLAIN_ORDER and way.length == 1 else f" {way.word_order}"
    head = f"{mark + types + order:<18} {_value(way):<8} "
    for fit in way.fits:
        scaled = "" if fit.scale == 1 else f"x{fit.scale:g} = {fit.value:g} "
        yield f"{head}{scaled}{', '.join(fit.quantities).replace('_', ' ')}"
        head = " " * len(head)
    if not way.fits:
        yield head.rstrip()


def _value(way: Guess) -> str:
    if isinstance(way.value, float):
        return f"{way.value:.7g}"
    if isinstance(way.value, str):
        return repr(way.value)
    return "-" if way.value is None else str(way.value)


def _record(stretches: Sequence[Stretch], unit: int, table: Table) -> dict[str, Json]:
    rows: list[Json] = []
    refused: list[Json] = []
    for stretch in stretches:
        if stretch.refusal:
            last = stretch.address + stretch.count - 1
            refused.append({"first": stretch.address, "last": last, "reason": stretch.refusal})
        elif table in BIT_TABLES:
            rows += [{"address": stretch.address + index, "bit": bool(bit)} for index, bit in enumerate(stretch.values)]
        else:
            registers = [int(value) for value in stretch.values]
            rows += [_register(row) for row in guess(registers, start=stretch.address)]
    return {"unit": unit, "table": table, "registers": rows, "refused": refused}


def _register(row: GuessedRegister) -> dict[str, Json]:
    ways: list[Json] = [
        {
            "type": way.type,
            "order": way.word_order,
            "length": way.length,
            "value": way.value,
            "plausible": way.is_plausible,
            "fits": [{"scale": fit.scale, "value": fit.value, "quantities": list(fit.quantities)} for fit in way.fits],
        }
        for way in row.guesses
    ]
    return {"address": row.address, "register": row.register, "guesses": ways}
