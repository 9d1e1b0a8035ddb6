"""The site file: read once, at the door. Either frozen Settings come out, or every mistake with its line."""

from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from pathlib import Path

from drivers import DriverUnknown, driver_kind
from edge.domain.driver import DriverKind
from edge.domain.identifier import is_identifier
from edge.domain.settings import (
    ConnectionSettings,
    DeviceSettings,
    EventStoreSettings,
    OutboxSettings,
    Settings,
    SiteSettings,
    StreamTemplates,
)
from edge.settings.adapt import adapt, unknown_keys
from edge.settings.cautions import cautions
from edge.settings.device import build_device, check_device_alone, clashes
from edge.settings.document import Place, Table, read_document
from edge.settings.problems import ConfigurationInvalid, Problem
from edge.settings.profile import Profile, find_profile, load_profile, profile_names
from edge.settings.streams import shared_streams
from edge.settings.tables import ConnectionTable, GatewayTable

FindKind = Callable[[str], DriverKind]

_TABLES = ("site", "gateway", "event_store", "outbox", "streams", "connection")
_CONNECTION_KEYS = tuple(item.name for item in fields(ConnectionTable))


def load_settings(file: Path, *, find_kind: FindKind = driver_kind) -> Settings:
    """Read a site file. Raises ConfigurationInvalid with every mistake of it and of the profiles it names."""
    return SiteReader(file, find_kind).read()


class SiteReader:
    """Reads one site file; keeps the mistakes it meets, and the profiles it has read."""

    def __init__(self, file: Path, find_kind: FindKind = driver_kind) -> None:
        self._file = file
        self._find_kind = find_kind
        self._report: list[Problem] = []
        # None = has mistakes, which are told once.
        self.profiles: dict[tuple[str, str], Profile | None] = {}
        # What is allowed and yet fails in the field; known when the file has been read.
        self.cautions: list[Problem] = []

    def read(self) -> Settings:
        """Read the file. Raises ConfigurationInvalid."""
        document = read_document(self._file)
        whole = Table(place=Place(document=document, path=()), values=document.tree)
        report = self._report
        report.extend(unknown_keys(whole, _TABLES))
        site = adapt(SiteSettings, whole.table("site", report), report)
        gateway = adapt(GatewayTable, whole.table("gateway", report), report)
        event_store = adapt(EventStoreSettings, whole.table("event_store", report), report)
        outbox = adapt(OutboxSettings, whole.table("outbox", report), report)
        streams = adapt(StreamTemplates, whole.table("streams", report), report)
        connections = [self._connection(table) for table in whole.tables("connection", report)]
        self._check_ids(whole)
        if not site or not gateway or not event_store or not outbox or not streams:
            raise ConfigurationInvalid(report)
        settings = Settings(
            file=self._file,
            digest=document.digest,
            site=site,
            gateway_id=gateway.id or site.id,
            event_store=_beside(self._file, event_store),
            outbox=outbox,
            streams=streams,
            connections=tuple(connection for connection in connections if connection is not None),
        )
        report.extend(shared_streams(whole.table("streams", report), settings))
        if report:
            raise ConfigurationInvalid(report)
        self.cautions = cautions(whole, settings, self.profiles)
        return settings

    def _connection(self, table: Table) -> ConnectionSettings | None:
        head = adapt(ConnectionTable, table.only(*_CONNECTION_KEYS), self._report)
        driver = table.values.get("driver")
        if not isinstance(driver, str):
            return None
        try:
            kind = self._find_kind(driver)
        except DriverUnknown as error:
            self._report.append(table.place_of("driver").problem(str(error)))
            return None
        self._report.extend(table.place_of("driver").problem(sentence) for sentence in clashes(kind))
        options = adapt(kind.connection_options, table.without(*_CONNECTION_KEYS, "device"), self._report)
        # Where the connection has mistakes, Settings never come out; its devices are read only to tell theirs.
        head = head or ConnectionTable(id="", driver=driver)
        devices = [self._device(item, kind, head.poll_interval_s) for item in table.tables("device", self._report)]
        if not devices:
            self._report.append(table.place.problem("the connection has no devices: add [[connection.device]]"))
        built = tuple(device for device in devices if device is not None)
        return ConnectionSettings(id=head.id, driver=driver, options=options, devices=built)

    def _device(self, table: Table, kind: DriverKind, poll_interval_s: float) -> DeviceSettings | None:
        name = table.values.get("profile")
        profile = None
        if isinstance(name, str):
            profile = self._profile(name, table, kind)
            if profile is None:
                # What the profile would have brought is not missing; the rest can be told.
                check_device_alone(table, kind, self._report)
                return None
        return build_device(table, profile, kind, poll_interval_s=poll_interval_s, report=self._report)

    def _profile(self, name: str, table: Table, kind: DriverKind) -> Profile | None:
        file = find_profile(name, self._file) if is_identifier(name) else None
        if file is None:
            known = ", ".join(profile_names(self._file))
            self._report.append(table.place_of("profile").problem(f"there is no profile {name!r}; there are: {known}"))
            return None
        key = (name, kind.name)
        if key not in self.profiles:
            try:
                self.profiles[key] = load_profile(file, kind, self._report)
            except ConfigurationInvalid as error:
                self._report.extend(error.problems)
                self.profiles[key] = None
        return self.profiles[key]

    def _check_ids(self, whole: Table) -> None:
        """Ids are well formed, and each is given once: devices across the whole site."""
        for kind in ("connection", "device"):
            first: dict[str, Place] = {}
            for place, name in _ids(whole, kind):
                if not is_identifier(name):
                    sentence = f"{name!r} is no id: small letters, digits, - and _, at most 64, no dots"
                    self._report.append(place.problem(sentence))
                elif name in first:
                    line = first[name].problem("").line
                    self._report.append(place.problem(f"{kind} {name!r} is there twice; the first is in line {line}"))
                first.setdefault(name, place)
        for name in ("site", "gateway"):
            table = whole.table(name, [])
            given = table.values.get("id")
            if isinstance(given, str) and not is_identifier(given):
                sentence = f"{given!r} is no id: small letters, digits, - and _, at most 64, no dots"
                self._report.append(table.place_of("id").problem(sentence))


def _beside(file: Path, event_store: EventStoreSettings) -> EventStoreSettings:
    """A path in a site file is meant from where the site file is."""
    if event_store.ca_file is None:
        return event_store
    return replace(event_store, ca_file=file.parent / event_store.ca_file)


def _ids(whole: Table, kind: str) -> Iterator[tuple[Place, str]]:
    for connection in whole.tables("connection", []):
        tables = [connection] if kind == "connection" else connection.tables("device", [])
        for table in tables:
            name = table.values.get("id")
            if isinstance(name, str):
                yield table.place_of("id"), name
