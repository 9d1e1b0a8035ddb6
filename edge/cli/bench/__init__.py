"""`bench`: the published figures, measured on this machine with real parts."""

import asyncio
import json
import signal
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edge.cli import EXIT_FAILED, EXIT_USAGE

if TYPE_CHECKING:
    from edge.cli.bench.figures import Results, Run


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object; what is measured is told on standard error.")
@click.option("--only", "name", metavar="NAME", help="Only this figure, and those that come with it.")
@click.option("--long", "is_long", is_flag=True, help="Memory after 10 minutes instead of 90 s.")
@click.option(
    "--directory",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="A directory on the disk to be measured. Default: $TMPDIR, else /var/tmp.",
)
def bench(name: str | None, directory: Path | None, *, as_json: bool, is_long: bool) -> None:
    """Measure the published figures on this machine: median, and least to most over the repeats.

    Takes about five minutes, with `--long` fourteen. Let the machine do nothing else meanwhile.
    """
    import logging

    from edge.cli.bench.figures import GROUPS, Run, selected
    from edge.cli.bench.processes import ChildFailed
    from edge.cli.bench.run import temporary_root
    from edge.operate.logs import configure_logs

    configure_logs(level=logging.ERROR)
    groups = selected(name)
    if not groups:
        known = ", ".join(figure.name for group in GROUPS for figure in group.figures)
        click.echo(f"there is no figure {name!r}; there are: {known}", err=True)
        sys.exit(EXIT_USAGE)
    with tempfile.TemporaryDirectory(
        prefix="greenhouse-edge-bench-", dir=directory or temporary_root(), ignore_cleanup_errors=True
    ) as scratch:
        run = Run(directory=Path(scratch), is_long=is_long, wanted=name)
        results: Results | None = None
        # Figures that are measured together may fail together.
        try:
            results = asyncio.run(_measure(run))
        except* ChildFailed as failed:
            click.echo("\n".join(str(error) for error in failed.exceptions), err=True)
        except* asyncio.CancelledError:
            click.echo("ended before everything was measured", err=True)
    if results is None:
        sys.exit(EXIT_FAILED)
    _show(results, as_json=as_json)


async def _measure(run: "Run") -> "Results":
    from edge.cli.bench.figures import measure

    task = asyncio.current_task()
    assert task is not None, "asyncio.run makes one"
    # The children end with us.
    for number in (signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    return await measure(run)


def _show(results: "Results", *, as_json: bool) -> None:
    from edge.cli.bench.figures import lines, values

    if as_json:
        click.echo(json.dumps(values(results)))
    else:
        click.echo("\n".join(lines(results)))
