"""A person's answers about a new site, each checked at once, so that the file written from them has no mistakes."""

import os
import zoneinfo
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import click

from edge.cli.commission.draft import DraftSite
from edge.domain.commissioning import AnswerWrong
from edge.domain.device_group import identifier_part
from edge.domain.event_store_uri import uri_mistakes
from edge.domain.identifier import IDENTIFIER_LENGTH_MAX, is_identifier
from edge.domain.settings import SiteSettings
from edge.domain.userinfo import holds_userinfo

EVENT_STORE_URI = "esdb://127.0.0.1:2113?tls=false"
LOCAL_TIME = Path("/etc/localtime")

Answer = TypeVar("Answer")


def checked_site_id(text: str) -> str:
    """Check a site's id. Raises AnswerWrong."""
    if not is_identifier(text):
        raise AnswerWrong(f"{text!r} is no id: small letters, digits, - and _, at most {IDENTIFIER_LENGTH_MAX}")
    return text


def suggested_id(name: str) -> str:
    """Return an id made from a name; empty if nothing of it can stand in one."""
    return identifier_part(name)[:IDENTIFIER_LENGTH_MAX].strip("-_")


def checked_time_zone(text: str) -> str:
    """Check a time zone. Raises AnswerWrong."""
    return _checked(text, SiteSettings(id="site", time_zone=text).mistakes())


def local_time_zone() -> str:
    """Return this machine's time zone, as far as it can be told."""
    try:
        _, _, name = os.path.realpath(LOCAL_TIME).partition("zoneinfo/")
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return "UTC"
    return name.removeprefix("Etc/")


def checked_event_store_uri(text: str) -> str:
    """Check an event store's address. Raises AnswerWrong."""
    if holds_userinfo(text):
        raise AnswerWrong("the address must not hold user and password; name a credential in the file instead")
    return _checked(text, list(uri_mistakes(text)))


def _checked(answer: str, mistakes: Sequence[str]) -> str:
    if mistakes:
        raise AnswerWrong("; ".join(mistakes))
    return answer


def head_of(site_id: str | None, name: str | None, time_zone: str | None, uri: str | None, *, asks: bool) -> DraftSite:
    """Ask for what was not given, and check everything. Raises click.UsageError."""
    if name is None and asks:
        name = click.prompt("The site's name", default="Greenhouse")
    suggested = suggested_id(name or "")
    if site_id is None and not asks:
        if not suggested:
            raise click.UsageError("name the site: --site-id north-1, or --name")
        site_id = suggested
    told_id = answer_of(site_id, "Its id, in the names of streams", checked_site_id, suggested or "site")
    return DraftSite(
        site_id=told_id,
        name=name or told_id,
        time_zone=answer_of(
            time_zone or (None if asks else local_time_zone()),
            "Time zone",
            checked_time_zone,
            local_time_zone(),
        ),
        uri=answer_of(
            uri or (None if asks else EVENT_STORE_URI),
            "Event store",
            checked_event_store_uri,
            EVENT_STORE_URI,
        ),
    )


def answer_of(given: str | None, question: str, check: Callable[[str], Answer], default: str) -> Answer:
    """Check what was given, or ask until the answer is one. Raises click.UsageError."""

    def checked(text: str) -> Answer:
        try:
            return check(text)
        except AnswerWrong as error:
            raise click.UsageError(str(error)) from error

    if given is not None:
        return checked(given)
    answer: Answer = click.prompt(question, default=default or None, value_proc=checked)
    return answer
