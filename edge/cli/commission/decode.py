"""`decode`: decodes a frame, registers, a line or a payload, without the device."""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn, get_args

import click

from drivers.decoders.modbus_options import ModbusPointOptions, PointType
from drivers.decoders.modbus_point import PointCodec
from drivers.decoders.registers import NUMBER_TYPES, WORD_ORDERS, WordOrder
from edge.cli import EXIT_CONFIGURATION, EXIT_FAILED
from edge.cli.commission.shown import judged, lines, records
from edge.cli.commission.site import hook_at_work, log_errors_only
from edge.domain.by_hand import Given, RegisterTable, Undecodable, numbers_of
from edge.domain.clock import rfc3339
from edge.domain.event import Json
from edge.domain.quantity import IDENTITY
from edge.domain.reading import Reading, Sample
from edge.domain.settings import PointSettings
from edge.settings.problems import ConfigurationInvalid
from edge.settings.specimen import ProfileUnknown, Specimen, load_specimen

REGISTER_TYPES = tuple(kind for kind in (*NUMBER_TYPES, "string"))


@click.group(invoke_without_command=True, subcommand_metavar="[modbus]")
@click.option("--profile", metavar="NAME", help="The device model; `greenhouse-edge profiles` lists them.")
@click.option("--frame", metavar="HEX", help="A whole frame: Modbus RTU or TCP, a serial one, LoRaWAN bytes.")
@click.option("--request", metavar="HEX|TEXT", help="What was asked: places a Modbus frame; 0D0! of SDI-12.")
@click.option("--registers", metavar="305,546", help="Modbus registers, decimal or 0x.")
@click.option("--start", type=click.IntRange(0, 0xFFFF), metavar="ADDRESS", help="Where the first register stands.")
@click.option("--table", type=click.Choice(get_args(RegisterTable)), help="In which table.")
@click.option("--line", metavar="TEXT", help=r"What a serial device said, with or without its end (\r\n).")
@click.option("--topic", help="Where an MQTT message came.")
@click.option("--payload", metavar="TEXT", help="What it held.")
@click.option("--retained", is_flag=True, help="The broker had kept it.")
@click.option("--received-at", metavar="2024-05-01T12:00:00Z", type=click.DateTime(("%Y-%m-%dT%H:%M:%S%z", "%Y-%m-%dT%H:%M:%S")),
              help="When it came (UTC unless it says otherwise), to judge its own time by; else now.")  # fmt: skip
@click.option("--beside", "folder", type=click.Path(path_type=Path, file_okay=False), default=Path(),
              help="A site file's folder, whose own profiles are known, too.")  # fmt: skip
@click.option("--all", "with_unpublished", is_flag=True, help="Points that are not published, too.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_context
def decode(
    context: click.Context,
    *,
    profile: str | None,
    frame: str | None,
    request: str | None,
    registers: str | None,
    start: int | None,
    table: RegisterTable | None,
    line: str | None,
    topic: str | None,
    payload: str | None,
    retained: bool,
    received_at: datetime | None,
    folder: Path,
    with_unpublished: bool,
    as_json: bool,
) -> None:
    """Decode what a device said, as its profile says: one of --frame, --registers, --line, --payload.

    Without --start or --request, registers are the first block that the profile reads. `decode modbus` needs none. Exit
    codes: 0 decoded, 1 these bytes are no readings (what is wrong is said), 2 usage, 78 the profile has mistakes.
    """
    if context.invoked_subcommand is not None:
        return
    specimen = _specimen(profile, folder, is_one=[frame, registers, line, payload].count(None) == 3)
    given = Given(
        frame=frame,
        registers=registers,
        line=line,
        payload=None if payload is None else payload.encode(errors="surrogateescape"),
        topic=topic,
        request=request,
        table=table,
        start=start,
        is_retained=retained,
        received_at_ms=None if received_at is None else _milliseconds(received_at),
    )
    _tell(specimen, given, with_unpublished=with_unpublished, as_json=as_json)


def _milliseconds(moment: datetime) -> int:
    return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


def _specimen(profile: str | None, folder: Path, *, is_one: bool) -> Specimen:
    """Return the profile's device. Raises click.UsageError, also if not just one thing is given to decode."""
    log_errors_only()
    if profile is None:
        raise click.UsageError("name a --profile, or use `decode modbus`")
    if not is_one:
        raise click.UsageError("give one of --frame, --registers, --line, --payload")
    try:
        return load_specimen(profile, folder)
    except ProfileUnknown as error:
        raise click.UsageError(str(error)) from error
    except ConfigurationInvalid as error:
        click.echo(error, err=True)
        sys.exit(EXIT_CONFIGURATION)


def _decoded(specimen: Specimen, given: Given, *, with_unpublished: bool) -> list[Sample]:
    """Decode as the device's driver would; return published points as the daemon reports them. Raises Undecodable."""
    kind, device = specimen.kind, specimen.device
    if kind.decode is None:
        raise Undecodable(f"{device.id} has the driver {kind.name!r}: there is nothing to decode")
    with hook_at_work(kind.name, "decode"):
        samples = kind.decode(device, given)
        for sample in samples:
            sample.check()
        published = [judged(device, sample.readings) for sample in samples]
    shown = [
        {**sample.readings, **readings} if with_unpublished else readings
        for sample, readings in zip(samples, published, strict=True)
    ]
    told = [replace(sample, readings=readings) for sample, readings in zip(samples, shown, strict=True) if readings]
    if not told:
        silent = ", ".join(dict.fromkeys(point_id for sample in samples for point_id in sample.readings))
        raise Undecodable(f"this says only what {device.id} does not publish: {silent}; --all shows it")
    return told


def _tell(specimen: Specimen, given: Given, *, with_unpublished: bool, as_json: bool) -> None:
    try:
        samples = _decoded(specimen, given, with_unpublished=with_unpublished)
    except Undecodable as error:
        _fail(error, as_json=as_json)
    if as_json:
        click.echo(json.dumps(_record(samples), indent=2, ensure_ascii=False))
        return
    for sample in samples:
        if sample.measured_at_ms is not None:
            click.echo(f"measured at {rfc3339(sample.measured_at_ms)} ({sample.origin.value})")
        click.echo("\n".join(lines(sample.readings, specimen.device)))


def _record(samples: Sequence[Sample]) -> dict[str, Json]:
    """Each sample with its own time and origin; `readings`, at the top, are those of the last one."""
    told: list[Json] = [
        {
            "measuredAt": None if sample.measured_at_ms is None else rfc3339(sample.measured_at_ms),
            "origin": sample.origin.value,
            "readings": records(sample.readings),
        }
        for sample in samples
    ]
    return {"readings": records(samples[-1].readings), "samples": told}


def _fail(error: Exception, *, as_json: bool) -> NoReturn:
    click.echo(error, err=True)
    if as_json:
        click.echo(json.dumps({"error": str(error)}, ensure_ascii=False))
    sys.exit(EXIT_FAILED)


@decode.command()
@click.option("--registers", required=True, metavar="17096,0", help="Decimal or 0x.")
@click.option("--type", "point_type", type=click.Choice(REGISTER_TYPES), default="uint16", show_default=True)
@click.option("--order", "word_order", type=click.Choice(WORD_ORDERS), default="ABCD", show_default=True)
@click.option("--scale", type=float, default=1.0, show_default=True)
@click.option("--offset", type=float, default=0.0, show_default=True, help="Added after the scale.")
@click.option("--bits", metavar="FIRST,WIDTH", help="Only these bits, counted from the lowest.")
@click.option("--unit", help="UCUM; only shown.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def modbus(
    *,
    registers: str,
    point_type: PointType,
    word_order: WordOrder,
    scale: float,
    offset: float,
    bits: str | None,
    unit: str | None,
    as_json: bool,
) -> None:
    """Decode registers without a profile. More than one value of the type gives value_0, value_1 and so on."""
    try:
        values = numbers_of(registers)
        options = ModbusPointOptions(
            table="holding",
            address=0,
            type=point_type,
            word_order=word_order,
            registers=len(values) if point_type == "string" else 0,
            bits=_bits(bits),
            scale=scale,
            raw_offset=offset,
        )
        readings = _values(values, options, unit)
    except Undecodable as error:
        _fail(error, as_json=as_json)
    if as_json:
        click.echo(json.dumps({"readings": records(readings)}, indent=2, ensure_ascii=False))
    else:
        click.echo("\n".join(lines(readings)))


def _values(values: Sequence[int], options: ModbusPointOptions, unit: str | None) -> Mapping[str, Reading]:
    if mistakes := options.mistakes():
        raise Undecodable("; ".join(mistakes))
    point = PointSettings(
        id="value", quantity=None, type=options.value_type, unit=unit, conversion=IDENTITY, options=options
    )
    codec, length = PointCodec(point), options.length
    if len(values) % length:
        raise Undecodable(f"{len(values)} registers are no whole number of {options.type}, which fills {length}")
    found = [codec.reading(values[first : first + length]) for first in range(0, len(values), length)]
    return {"value" if len(found) == 1 else f"value_{index}": reading for index, reading in enumerate(found)}


def _bits(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    first, comma, width = text.partition(",")
    if not text.isascii() or not (first.strip().isdecimal() and (not comma or width.strip().isdecimal())):
        raise Undecodable(f"bits is {text!r}; write FIRST,WIDTH like 9,1")
    return int(first), int(width or 1)
