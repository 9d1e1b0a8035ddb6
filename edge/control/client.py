"""A verb's end of the control socket: finds the right daemon and asks it."""

import json
import socket
from collections.abc import Mapping
from pathlib import Path

from edge.control.places import DaemonNote, running_daemons
from edge.domain.event import Json

# The daemon answers from memory.
ANSWER_TIMEOUT_S = 5.0


class DaemonNotFound(Exception):  # noqa: N818 - names the situation, as the verbs report it
    """No running daemon fits what was asked for. Remedy: start it."""


class DaemonAmbiguous(Exception):  # noqa: N818
    """Several daemons run. Remedy: name one."""


class DaemonSilent(Exception):  # noqa: N818
    """The daemon lives but does not answer. Remedy: try again, look at its log."""


class DaemonRefused(Exception):  # noqa: N818
    """The daemon answered that it cannot do what was asked; the message says why. Remedy: ask for something else."""


def find_daemon(*, gateway_id: str | None = None, state_directory: Path | None = None) -> DaemonNote:
    """Find the daemon of a gateway or state directory; with neither, the only one running."""
    notes = running_daemons()
    if state_directory is not None:
        wanted = str(state_directory.resolve())
        notes = [note for note in notes if note.state_directory == wanted]
    elif gateway_id is not None:
        notes = [note for note in notes if note.gateway_id == gateway_id]
    if not notes:
        named = state_directory or gateway_id
        raise DaemonNotFound(f"no daemon is running for {named}" if named else "no daemon is running")
    if len(notes) > 1:
        known = "\n".join(
            f"  {note.gateway_id}: {note.site_file}, --state-dir {note.state_directory}" for note in notes
        )
        raise DaemonAmbiguous(f"several daemons are running; name one:\n{known}")
    return notes[0]


def ask(
    note: DaemonNote,
    operation: str,
    *,
    arguments: Mapping[str, Json] | None = None,
    timeout_s: float = ANSWER_TIMEOUT_S,
) -> Json:
    """Ask the daemon one thing. Raises DaemonSilent, DaemonRefused."""
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(timeout_s)
            connection.connect(note.socket)
            request = {"operation": operation, "arguments": arguments or {}}
            connection.sendall(json.dumps(request).encode() + b"\n")
            with connection.makefile("rb") as answer:
                reply = json.loads(answer.readline())
    except (OSError, ValueError) as error:
        raise DaemonSilent(f"the daemon {note.gateway_id} (pid {note.pid}) does not answer: {error}") from error
    if not isinstance(reply, dict) or not reply.keys() & {"answer", "error"}:
        raise DaemonSilent(f"the daemon {note.gateway_id} (pid {note.pid}) answers with something else: {reply!r:.100}")
    if "error" in reply:
        raise DaemonRefused(f"the daemon {note.gateway_id} refused: {reply['error']}")
    answered: Json = reply["answer"]
    return answered
