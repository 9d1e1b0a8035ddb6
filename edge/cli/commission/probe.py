"""`probe`: registers of an unknown device in every type and order, the plausible ones marked."""

import json
import sys
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import get_args

import click

from drivers import driver_kind
from drivers.decoders.guess import Guess, GuessedRegister, guess
from drivers.decoders.modbus_options import BIT_TABLES
from edge.cli import EXIT_FAILED, EXIT_TEMPORARY
from edge.cli.commission.looking import progress
from edge.cli.commission.site import connection_of, hook_at_work, load, log_errors_only
from edge.domain.by_hand import RegisterTable, Undecodable, numbers_of
from edge.domain.commissioning import RegisterRange, Stretch
from edge.domain.driver import DeviceUnreachable, DriverError
from edge.domain.event import Json
from edge.domain.settings import ConnectionSettings
from edge.operate.threads import run_leaving_threads

TABLES = get_args(RegisterTable)
REGISTERS_MAX = 2000
# A number of registers that most devices give in one answer.
REGISTERS = 32
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
    default=REGISTERS,
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
    table: RegisterTable,
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
        wanted = RegisterRange(unit=unit, table=table, start=start, count=count, timeout_ms=timeout_ms)
        stretches = _read(connection_of(load(site_file), connection_id), wanted)
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


def _read(connection: ConnectionSettings, wanted: RegisterRange) -> list[Stretch]:
    read = driver_kind(connection.driver).probe
    if read is None:
        raise click.UsageError(f"{connection.id} has the driver {connection.driver!r}, which has no registers")
    try:
        with hook_at_work(connection.driver, "probe"):
            return joined(run_leaving_threads(_carried_out(read(connection, wanted), wanted.count)))
    except DriverError as error:
        click.echo(error, err=True)
        hint = "; `scan` shows which units do" if isinstance(error, DeviceUnreachable) else ""
        click.echo(f"unit {wanted.unit} could not be read{hint}", err=True)
        sys.exit(EXIT_TEMPORARY)


async def _carried_out(reading: AsyncGenerator[Stretch, None], count: int) -> list[Stretch]:
    stretches: list[Stretch] = []
    with progress(count, "addresses") as bar:
        async with aclosing(reading) as parts:
            async for stretch in parts:
                bar.update(stretch.count)
                stretches.append(stretch)
    return stretches


def joined(stretches: Sequence[Stretch]) -> list[Stretch]:
    """Join neighbours: a value may lie across two requests; refusals with the same words are one."""
    rows: list[Stretch] = []
    for stretch in sorted(stretches, key=lambda each: each.address):
        last = rows[-1] if rows else None
        is_next = last is not None and last.address + last.count == stretch.address and last.refusal == stretch.refusal
        if last is not None and is_next:
            rows[-1] = Stretch(
                address=last.address,
                count=last.count + stretch.count,
                values=(*last.values, *stretch.values),
                refusal=last.refusal,
            )
        else:
            rows.append(stretch)
    return rows


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


def _record(stretches: Sequence[Stretch], unit: int, table: RegisterTable) -> dict[str, Json]:
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
