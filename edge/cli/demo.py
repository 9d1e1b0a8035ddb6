"""`demo`: a whole site on this machine, of the same processes as a real one."""

import asyncio
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import click

from edge.cli import EXIT_FAILED
from edge.cli.children import Child
from edge.domain.event import Json

# A Raspberry Pi needs some seconds to import grpc for the first time.
START_TIMEOUT_S = 60.0
REDRAW_S = 1.0
# Where there is no terminal, one look every so often is enough for a log.
REPORT_S = 10.0
DEVICE = "bench3-climate"
# A part that ended so often in a row counts as one that cannot start.
FAILURES_MAX = 4
# Less than this has no room for everything; the rest of the screen belongs to the devices.
HEIGHT_OF_EVERYTHING = 38


@dataclass(frozen=True, kw_only=True)
class Stage:
    """Where everything of one demo is."""

    directory: Path
    store_port: int
    # Whether there is a broker for MQTT devices.
    has_radio: bool

    @property
    def uri(self) -> str:
        """The event store's address."""
        return f"esdb://127.0.0.1:{self.store_port}?tls=false"

    @property
    def template(self) -> Path:
        """The site file with pretended hosts."""
        return self.directory / "greenhouse.toml"

    @property
    def site_file(self) -> Path:
        """The same with the simulated devices' addresses: what the daemon reads."""
        return self.directory / "site.toml"

    @property
    def gateway_state(self) -> Path:
        """The daemon's state directory."""
        return self.directory / "gateway"

    def children(self) -> tuple[Child, Child, Child]:
        """The three processes."""
        store = (
            "event-store",
            "--listen",
            f"127.0.0.1:{self.store_port}",
            "--state-dir",
            str(self.directory / "store"),
        )
        devices = ("simulate", str(self.template), "--write", str(self.site_file))
        daemon = ("run", str(self.site_file), "--state-dir", str(self.gateway_state))
        return self._child(store), self._child(devices), self._child(daemon)

    def _child(self, arguments: tuple[str, ...]) -> Child:
        name = arguments[0]
        return Child(name=name, arguments=arguments, log_file=self.directory / f"{name}.log")


@click.command()
@click.option("--state-dir", type=click.Path(path_type=Path), help="Keep everything here; default: gone at the end.")
@click.option("--seconds", type=click.FloatRange(min=1), help="Stop by itself after so long.")
def demo(state_dir: Path | None, seconds: float | None) -> None:
    """Show a whole site: an event store, a simulated greenhouse on real wires, and the daemon between them.

    The wires are Modbus/TCP, Modbus RTU, Atlas EZO, SDI-12, NMEA 0183, and MQTT if mosquitto (or this package's extra
    `demo`) is installed. Ends with Control-C. Exit codes: 0 stopped on request, 1 a part did not start.
    """
    with _directory(state_dir) as directory:
        from drivers.simulation import broker
        from drivers.simulation.demo import render_demo_site

        has_radio = broker.is_available()
        stage = Stage(directory=directory, store_port=_store_port(directory), has_radio=has_radio)
        text = render_demo_site(event_store_uri=stage.uri, has_radio=has_radio)
        stage.template.write_text(text, encoding="utf-8")
        sys.exit(asyncio.run(_show(stage, seconds)))


@contextmanager
def _directory(named: Path | None) -> Iterator[Path]:
    if named is not None:
        named.mkdir(parents=True, exist_ok=True)
        yield named.resolve()
        return
    with tempfile.TemporaryDirectory(prefix="greenhouse-edge-demo-", ignore_cleanup_errors=True) as directory:
        yield Path(directory)


def _store_port(directory: Path) -> int:
    """A free port; the one of last time where the state is kept, so that the gateway finds its streams again."""
    import socket

    note = directory / "store-port"
    wanted = int(note.read_text(encoding="ascii")) if note.is_file() else 0
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            found: int = probe.getsockname()[1]
            break
    note.write_text(str(found), encoding="ascii")
    return found


async def _show(stage: Stage, seconds: float | None) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, stop.set)
    if seconds is not None:
        loop.call_later(seconds, stop.set)
    store, devices, daemon = stage.children()
    async with _running(store), _running(devices):
        if not await _appears(stage.site_file, devices, stop):
            why = devices.trouble or "nothing was heard of them"
            click.echo(f"the simulated devices did not start: {why}; see {devices.log_file}", err=True)
            return EXIT_FAILED
        async with _running(daemon):
            await _view(stage, (store, devices, daemon), stop)
    return 0


@asynccontextmanager
async def _running(child: Child) -> AsyncIterator[None]:
    task = asyncio.create_task(child.run(), name=child.name)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def _appears(file: Path, devices: Child, stop: asyncio.Event) -> bool:
    for _ in range(int(START_TIMEOUT_S / 0.1)):
        if file.exists() or stop.is_set() or devices.failures >= FAILURES_MAX:
            break
        await asyncio.sleep(0.1)
    return file.exists() or stop.is_set()


async def _view(stage: Stage, children: tuple[Child, ...], stop: asyncio.Event) -> None:
    is_terminal = sys.stdout.isatty()
    while not stop.is_set():
        status = await asyncio.to_thread(_status, stage)
        lines = _screen(stage, children, status, is_terminal=is_terminal)
        if is_terminal:
            # Home, each line cleared to its end, the rest below cleared: no flicker, and no line feed that scrolls.
            click.echo("\x1b[H" + "\x1b[K\n".join(lines) + "\x1b[K\x1b[J", nl=False)
        else:
            click.echo("\n".join(lines) + "\n")
        try:
            async with asyncio.timeout(REDRAW_S if is_terminal or status is None else REPORT_S):
                await stop.wait()
        except TimeoutError:
            continue
    if is_terminal:
        click.echo()


def _screen(stage: Stage, children: tuple[Child, ...], status: Json, *, is_terminal: bool) -> list[str]:
    """Return what fits on the screen: the status first, then commands to try."""
    import shutil

    size = shutil.get_terminal_size((120, 60))
    width, height = size.columns, size.lines
    is_small = is_terminal and height < HEIGHT_OF_EVERYTHING
    below = [*_children_lines(children, width), *_try_next(stage, children, is_short=is_small)]
    if not is_small:
        below = ["", *below]
    if not stage.has_radio:
        below.insert(0, "no MQTT: neither mosquitto nor this package's extra `demo` is installed"[:width])
    if status is None:
        return ["the daemon is starting …", *below]
    from edge.cli.status import render

    # What is to be copied is never cut; a long one takes two lines of the screen.
    taken = sum(1 + max(0, len(click.unstyle(line)) - 1) // width for line in below)
    return [*render(status, width=width, height=height - taken if is_terminal else None), *below]


def _status(stage: Stage) -> Json:
    from edge.control.client import DaemonAmbiguous, DaemonNotFound, DaemonSilent, ask, find_daemon

    try:
        return ask(find_daemon(state_directory=stage.gateway_state), "status")
    except (DaemonNotFound, DaemonSilent, DaemonAmbiguous):
        return None


def _children_lines(children: tuple[Child, ...], width: int) -> Iterator[str]:
    parts = []
    for child in children:
        again = f" (again {child.restarts}x)" if child.restarts else ""
        parts.append(f"{child.name} {child.pid or 'down'}{again}")
    yield f"processes    {', '.join(parts)}; logs: {children[0].log_file.parent}/*.log"[:width]
    for child in children:
        if child.pid is None and child.trouble:
            yield click.style(f"{child.name:<12} {child.trouble}"[:width], fg="red")


def _try_next(stage: Stage, children: tuple[Child, ...], *, is_short: bool) -> Iterator[str]:
    store, _, daemon = children
    command = _command()
    yield click.style("Try in another terminal (Control-C here ends the demo):", bold=True)
    yield f"  {command} events tail {stage.site_file} --follow"
    yield f"  kill -9 {daemon.pid or 'PID'}      # the daemon, as a power cut would; nothing is lost or doubled"
    if is_short:
        return
    yield f"  {command} configure {stage.site_file} {DEVICE} --set pollIntervalS=1"
    yield f"  {command} status --state-dir {stage.gateway_state} --json"
    yield f"  kill -STOP {store.pid or 'PID'}   # the store stops answering; -CONT brings it back"
    yield f"  {command} simulate --help   # faults, weather, and a site file of your own"


def _command() -> str:
    """Return the command for the next terminal: after `make demo` the program is not on the PATH."""
    import shutil

    if shutil.which("greenhouse-edge"):
        return "greenhouse-edge"
    beside = Path(sys.executable).with_name("greenhouse-edge")
    return str(beside) if beside.exists() else f"{sys.executable} -m edge"
