"""`scan SITE.toml CONNECTION`: who is there."""

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import aclosing
from pathlib import Path

import click

from drivers import driver_kind
from edge.cli import EXIT_FAILED, EXIT_TEMPORARY
from edge.cli.commission.looking import LISTEN_S, UNIT_TIMEOUT_MS, checked_units, progress
from edge.cli.commission.site import connection_of, context_of, hook_at_work, load, log_errors_only
from edge.domain.commissioning import Found, Search, Wishes
from edge.domain.driver import ConnectionLost, DriverContext, DriverError
from edge.operate.threads import run_leaving_threads


@click.command()
@click.argument("site_file", metavar="SITE.toml", type=click.Path(path_type=Path))
@click.argument("connection_id", metavar="CONNECTION")
@click.option("--units", default="1-247", show_default=True, help="Modbus: the unit ids to ask, like 1-20,30.")
@click.option(
    "--timeout-ms",
    type=click.IntRange(10, 10_000),
    default=UNIT_TIMEOUT_MS,
    show_default=True,
    help="How long each is waited for.",
)
@click.option(
    "--seconds",
    type=click.FloatRange(0.1, 3600),
    default=LISTEN_S,
    show_default=True,
    help="MQTT and serial: how long to listen.",
)
@click.option("--credentials-dir", type=click.Path(path_type=Path), help="Where credentials are files by name.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def scan(
    site_file: Path,
    connection_id: str,
    *,
    units: str,
    timeout_ms: int,
    seconds: float,
    credentials_dir: Path | None,
    as_json: bool,
) -> None:
    """Look who is there on a connection of the site file: Modbus units, SDI-12 addresses, topics, lines.

    Stop the daemon first where it holds the port. Nothing is written to any device. Exit codes: 0 somebody is there, 1
    nobody is, 75 the port or host cannot be opened, 78 the site file is wrong.
    """
    log_errors_only()
    settings = load(site_file)
    connection = connection_of(settings, connection_id)
    plan = driver_kind(connection.driver).scan
    if plan is None:
        raise click.UsageError(f"{connection.id} has the driver {connection.driver!r}: there is nothing to look for")
    wishes = Wishes(units=checked_units(units), timeout_ms=timeout_ms, seconds=seconds)
    try:
        with hook_at_work(connection.driver, "scan"):
            search = plan(connection, wishes)
            rows = run_leaving_threads(_carried_out(search, context_of(settings, credentials_dir)))
            found = [{"name": row.name, "answer": row.answer, "device": row.device_id or None} for row in rows]
            shown = [*_lines(rows, search)]
    except DriverError as error:
        click.echo(f"{connection_id}: {error}", err=True)
        sys.exit(EXIT_TEMPORARY if isinstance(error, ConnectionLost) else EXIT_FAILED)
    if as_json:
        click.echo(json.dumps({"connection": connection_id, "found": found}, indent=2, ensure_ascii=False))
    else:
        click.echo("\n".join(shown))
    sys.exit(0 if rows else EXIT_FAILED)


async def _carried_out(search: Search, context: DriverContext) -> list[Found]:
    """Run a search under a progress bar, which shows only at a terminal and never among the results."""
    rows: list[Found] = []
    with progress(search.steps, search.rows_are) as bar:
        async with aclosing(search.run(context)) as steps:
            async for found in steps:
                bar.update(1)
                rows.extend(found)
    return rows


def _lines(rows: Sequence[Found], search: Search) -> Iterator[str]:
    width = max((len(row.name) for row in rows), default=0)
    for row in rows:
        device = f"  = {row.device_id}" if row.device_id else ""
        yield f"{row.name:<{width}}  {row.answer}{device}"
    yield f"{len(rows) or 'no'} {search.rows_are} ({search.effort})"
