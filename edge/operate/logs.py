"""Logs: one line per event, pretty at a terminal, JSON otherwise, with journald's level prefix under systemd."""

import json
import logging
import os
import re
import sys
from typing import IO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from edge.domain.userinfo import redact_userinfo

# syslog severities; journald reads `<N>` at the start of a line (SyslogLevelPrefix, on by default).
_SEVERITY = {"critical": 2, "error": 3, "warning": 4, "info": 6, "debug": 7}

# Libraries that log at these levels what our own events say, or every call.
_LIBRARY_LEVELS = {
    "aiosqlite": logging.WARNING,
    "asyncio": logging.WARNING,
    # An ERROR per absent unit and request; the collector logs the change of state once.
    "pymodbus": logging.CRITICAL,
    "esdbclient": logging.WARNING,
    "grpc": logging.WARNING,
}

# The value of anything that is called a secret. User and password in an address are cut out of the whole line.
_SECRET_KEYS = frozenset({"password", "credential", "secret", "token", "authorization"})
_REDACTED = "***"


def configure_logs(stream: IO[str] | None = None, *, level: int = logging.INFO) -> None:
    """Send structlog and the standard library's loggers through one chain to `stream` (default: standard error)."""
    target = stream or sys.stderr
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _redact_secrets,
    ]
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[
            structlog.stdlib.add_logger_name,
            structlog.stdlib.ExtraAdder(),
            _name_library_event,
            *shared,
        ],
        # On the finished line: an address may stand in a nested value or in a traceback.
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_rendering(target), _redact_line],
    )
    output = logging.StreamHandler(target)
    output.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [output]
    root.setLevel(level)
    for name, library_level in _LIBRARY_LEVELS.items():
        logging.getLogger(name).setLevel(max(level, library_level))
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(level),
        # Not cached: lines are few, and a logger bound once would always keep the settings of that moment.
        cache_logger_on_first_use=False,
    )


def _rendering(target: IO[str]) -> list[Processor]:
    if target.isatty():
        return [structlog.dev.ConsoleRenderer(colors=True, pad_event_to=32)]
    chain: list[Processor] = [
        structlog.processors.format_exc_info,
        structlog.processors.JSONRenderer(serializer=_serialize),
    ]
    return [*chain, _prefix_severity] if _is_journal(target) else chain


def _serialize(event: object, **options: object) -> str:
    default = options.get("default")
    return json.dumps(event, ensure_ascii=False, default=default if callable(default) else str)


def _is_journal(target: IO[str]) -> bool:
    """Whether the stream is connected to journald (systemd.exec(5), JOURNAL_STREAM = device:inode)."""
    named = os.environ.get("JOURNAL_STREAM", "")
    try:
        status = os.fstat(target.fileno())
    except (OSError, ValueError):
        return False
    return named == f"{status.st_dev}:{status.st_ino}"


def _prefix_severity(_: WrappedLogger, __: str, line: object) -> str:
    match = re.search(r'"level": "(\w+)"', str(line))
    severity = _SEVERITY.get(match.group(1), 6) if match else 6
    return f"<{severity}>{line}"


def _name_library_event(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """A library's sentence becomes a field: our event names stay constant."""
    event["message"] = event["event"]
    event["event"] = "library_logged"
    return event


def _redact_secrets(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    for key in _SECRET_KEYS.intersection(event):
        event[key] = _REDACTED
    return event


def _redact_line(_: WrappedLogger, __: str, line: object) -> str:
    return redact_userinfo(str(line))
