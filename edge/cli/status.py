"""`status`: ask the running daemon how it is."""

import json
import sys
from pathlib import Path

import click

from edge.cli import EXIT_FAILED, EXIT_TEMPORARY, EXIT_USAGE


@click.command()
@click.argument("site_file", type=click.Path(path_type=Path), required=False)
@click.option("--state-dir", type=click.Path(path_type=Path), help="The daemon with this state directory.")
@click.option("--json", "as_json", is_flag=True, help="Print the whole status as JSON.")
def status(site_file: Path | None, state_dir: Path | None, *, as_json: bool) -> None:
    """Show how the daemon of SITE_FILE (or --state-dir, else the only one running) is.

    Exit codes: 0 it answered, 1 it refused, 2 several run and none was named, 75 none runs or it does not answer.
    """
    from edge.cli.live_view import render
    from edge.control.client import DaemonAmbiguous, DaemonNotFound, DaemonRefused, DaemonSilent, ask, find_daemon

    try:
        note = find_daemon(gateway_id=_gateway_id(site_file), state_directory=state_dir)
        answer = ask(note, "status")
    except DaemonAmbiguous as error:
        click.echo(error, err=True)
        sys.exit(EXIT_USAGE)
    except (DaemonNotFound, DaemonSilent) as error:
        click.echo(error, err=True)
        sys.exit(EXIT_TEMPORARY)
    except DaemonRefused as error:
        click.echo(error, err=True)
        sys.exit(EXIT_FAILED)
    if as_json:
        click.echo(json.dumps(answer, indent=2, ensure_ascii=False))
    else:
        click.echo("\n".join(render(answer)))


def _gateway_id(site_file: Path | None) -> str | None:
    """Read only the ids: a site file with a mistake must not keep anybody from asking how the daemon is."""
    if site_file is None:
        return None
    import tomllib

    try:
        document = tomllib.loads(site_file.read_text(encoding="utf-8"))
        gateway_id = document.get("gateway", {}).get("id") or document["site"]["id"]
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise click.UsageError(f"{site_file} names no site: {error}") from error
    return str(gateway_id)
