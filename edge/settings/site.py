"""The site file, read once at the start: to frozen Settings, or to all its mistakes with their lines."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import fields, replace
from pathlib import Path

from drivers import DriverUnknown, driver_kind, foreign_code
from edge.domain.device_group import member_id
from edge.domain.driver import DriverKind
from edge.domain.identifier import is_identifier
from edge.domain.settings import (
    ConnectionSettings,
    DeviceGroup,
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
from edge.settings.group import build_group, id_problems, knows_groups, members, name_problems
from edge.settings.placed import BROKE_ON_OPTIONS, PlacedConnection, port_problems
from edge.settings.problems import ConfigurationInvalid, Problem
from edge.settings.profile import Profile, load_profile
from edge.settings.profile_places import ProfilePlaces
from edge.settings.tables import GROUP_KEYS, ConnectionTable, GatewayTable

FindKind = Callable[[str], DriverKind]

_TABLES = ("site", "gateway", "event_store", "outbox", "streams", "connection")
_CONNECTION_KEYS = tuple(item.name for item in fields(ConnectionTable))
_NO_ID = "is no id: small letters, digits, - and _, at most 64, no dots"


def load_settings(file: Path, *, find_kind: FindKind = driver_kind) -> Settings:
    """Read a site file. Raises ConfigurationInvalid with every mistake of it and of the profiles it names."""
    return SiteReader(file, find_kind).read()


class SiteReader:
    """Reads one site file; collects its mistakes and the profiles that it names."""

    def __init__(self, file: Path, find_kind: FindKind = driver_kind) -> None:
        self._file = file
        self._find_kind = find_kind
        self._report: list[Problem] = []
        # Connections of which every device and group could be built.
        self._placed: list[PlacedConnection] = []
        self._groups: list[tuple[Table, DeviceGroup]] = []
        # None = has mistakes, which are told once.
        self.profiles: dict[tuple[str, str], Profile | None] = {}
        self._places = ProfilePlaces(file.parent)
        # The site file without mistakes.
        self._read: tuple[Table, Settings] | None = None

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
        self._check_connections()
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
        report.extend(_shared_streams(whole.table("streams", report), settings))
        if report:
            raise ConfigurationInvalid(report)
        self._read = whole, settings
        return settings

    @property
    def cautions(self) -> list[Problem]:
        """Return warnings of what often fails in the field; none if the file has mistakes or was not read."""
        if self._read is None:
            return []
        whole, settings = self._read
        return cautions(whole, settings, self._placed, profiles=self.profiles, places=self._places)

    def _connection(self, table: Table) -> ConnectionSettings | None:
        head = adapt(ConnectionTable, table.only(*_CONNECTION_KEYS), self._report)
        driver = table.values.get("driver")
        if not isinstance(driver, str):
            return None
        try:
            kind = self._find_kind(driver)
            with foreign_code(driver, BROKE_ON_OPTIONS):
                return self._connection_of(kind, head or ConnectionTable(id="", driver=driver), table)
        except DriverUnknown as error:
            self._report.append(table.place_of("driver").problem(str(error)))
            return None

    def _connection_of(self, kind: DriverKind, head: ConnectionTable, table: Table) -> ConnectionSettings:
        """Build a connection. If `head` has mistakes, no Settings are made; its devices are read to report theirs."""
        self._report.extend(table.place_of("driver").problem(sentence) for sentence in clashes(kind))
        options: object | None = adapt(
            kind.connection_options, table.without(*_CONNECTION_KEYS, "device", "device_group"), self._report
        )
        tables = [*table.tables("device", self._report)], [*table.tables("device_group", self._report)]
        devices = [(item, self._device(item, kind, head.poll_interval_s)) for item in tables[0]]
        groups = [(item, self._group(item, kind, head.poll_interval_s)) for item in tables[1]]
        return self._put_together(head, options, table=table, kind=kind, devices=devices, groups=groups)

    def _put_together(
        self,
        head: ConnectionTable,
        options: object | None,
        *,
        table: Table,
        kind: DriverKind,
        devices: Sequence[tuple[Table, DeviceSettings | None]],
        groups: Sequence[tuple[Table, DeviceGroup | None]],
    ) -> ConnectionSettings:
        built = [(item, device) for item, device in devices if device is not None]
        built_groups = [(item, group) for item, group in groups if group is not None]
        self._groups += built_groups
        listed = [device for _, group in built_groups for device in members(group)]
        connection = ConnectionSettings(
            id=head.id,
            driver=head.driver,
            options=options,
            devices=(*(device for _, device in built), *listed),
            groups=tuple(group for _, group in built_groups),
        )
        if options is not None and len(built) == len(devices) and len(built_groups) == len(groups):
            self._placed.append(
                PlacedConnection(table=table, kind=kind, connection=connection, devices=built, groups=built_groups)
            )
        return connection

    def _device(self, table: Table, kind: DriverKind, poll_interval_s: float) -> DeviceSettings | None:
        profile, is_missing = self._profile_of(table, kind)
        if is_missing:
            # Keys that the profile would have had are not reported as missing.
            check_device_alone(table, kind, self._report)
            return None
        return build_device(table, profile, kind, poll_interval_s=poll_interval_s, report=self._report)

    def _group(self, table: Table, kind: DriverKind, poll_interval_s: float) -> DeviceGroup | None:
        if not knows_groups(kind):
            self._report.append(table.place.problem(f"the driver {kind.name!r} has no device groups"))
            return None
        profile, is_missing = self._profile_of(table, kind)
        if is_missing:
            self._report.extend(id_problems(table))
            check_device_alone(table, kind, self._report, other_keys=GROUP_KEYS)
            return None
        return build_group(table, profile, kind, poll_interval_s=poll_interval_s, report=self._report)

    def _profile_of(self, table: Table, kind: DriverKind) -> tuple[Profile | None, bool]:
        """Return the profile that a device names, and whether it names one that cannot be read."""
        name = table.values.get("profile")
        if not isinstance(name, str):
            return None, False
        profile = self._profile(name, table, kind)
        return profile, profile is None

    def _profile(self, name: str, table: Table, kind: DriverKind) -> Profile | None:
        found = self._places.find(name) if is_identifier(name) else None
        if found is None:
            self._report.append(table.place_of("profile").problem(self._places.no_such(name)))
            return None
        key = (name, kind.name)
        if key not in self.profiles:
            try:
                self.profiles[key] = load_profile(found.file, kind, self._report)
            except ConfigurationInvalid as error:
                self._report.extend(error.problems)
                self.profiles[key] = None
        return self.profiles[key]

    def _check_ids(self, whole: Table) -> None:
        """Check that ids are well formed and unique; those of devices across the whole site, groups included."""
        for name in ("site", "gateway"):
            table = whole.table(name, [])
            given = table.values.get("id")
            if isinstance(given, str) and not is_identifier(given):
                self._report.append(table.place_of("id").problem(f"{given!r} {_NO_ID}"))
        self._check_given_once("connection", _ids(whole, "connection"))
        self._check_given_once("device_group", _ids(whole, "device_group"))
        taken = self._check_given_once("device", _ids(whole, "device"))
        for table, group in self._groups:
            for index, name in enumerate(group.names):
                taken.setdefault(member_id(group, name) or "", table.place_of("names").inner(index))
        for table, group in self._groups:
            self._report.extend(name_problems(table, group, taken))

    def _check_given_once(self, kind: str, ids: Iterable[tuple[Place, str]]) -> dict[str, Place]:
        first: dict[str, Place] = {}
        for place, name in ids:
            # The id of a group is a template, which has been checked.
            if kind != "device_group" and not is_identifier(name):
                self._report.append(place.problem(f"{name!r} {_NO_ID}"))
            elif name in first:
                line = first[name].problem("").line
                self._report.append(place.problem(f"{kind} {name!r} is there twice; the first is in line {line}"))
            first.setdefault(name, place)
        return first

    def _check_connections(self) -> None:
        """Check what concerns a whole connection, or all of them together."""
        for placed in self._placed:
            self._report.extend(placed.problems(placed.kind.mistakes))
        self._report.extend(port_problems(self._placed))


def _beside(file: Path, event_store: EventStoreSettings) -> EventStoreSettings:
    """Resolve a path that is relative to the site file."""
    if event_store.ca_file is None:
        return event_store
    return replace(event_store, ca_file=file.parent / event_store.ca_file)


def _ids(whole: Table, kind: str) -> Iterator[tuple[Place, str]]:
    for connection in whole.tables("connection", []):
        tables = [connection] if kind == "connection" else connection.tables(kind, [])
        for table in tables:
            name = table.values.get("id")
            if isinstance(name, str):
                yield table.place_of("id"), name


def _shared_streams(table: Table, settings: Settings) -> Iterator[Problem]:
    """Yield a mistake for each template that gives a name which another template gives as well."""
    owners: dict[str, str] = {}
    for item in fields(settings.streams):
        template = getattr(settings.streams, item.name)
        for name in {_stream_name(template, settings, device.id) for device in settings.devices()} or {template}:
            owner = owners.setdefault(name, item.name)
            if owner != item.name:
                place = table.place_of(item.name if item.name in table.values else owner)
                yield place.problem(f"{owner} and {item.name} both name the stream {name!r}")


def _stream_name(template: str, settings: Settings, device_id: str) -> str:
    return template.format(site=settings.site.id, gateway=settings.gateway_id, device=device_id)
