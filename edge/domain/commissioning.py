"""What a driver may offer on a first day: to `scan`, `probe`, `init` and `simulate`. Public API.

Each is an optional hook of `edge.domain.driver.DriverKind`. A verb says in a sentence what a driver has no hook for.
`edge.domain.by_hand` has what the hook of `decode` is given, `edge.domain.fit` what a guess is made of.

A hook is a function of the kind's module. Import transports within the hook: a kind is imported wherever its driver is
only named. No hook writes to a device. A hook raises the errors that its type names; anything else is a bug, and the
verb says which driver has it.
"""

import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeAlias

from edge.domain.by_hand import RegisterTable
from edge.domain.field_types import FieldTypes
from edge.domain.fit import Fit
from edge.domain.reading import Value
from edge.domain.settings import DeviceSettings

if TYPE_CHECKING:
    # `DriverKind` holds these hooks; only their types speak of what a driver is given.
    from edge.domain.driver import DriverContext

# A value in a site file.
TomlValue: TypeAlias = str | int | float | bool | Sequence[str]
# What `simulate` does to a key of a connection: it gets another value; None = the key goes.
Change: TypeAlias = str | int | None

# The greatest value of a register.
_REGISTER_MAX = 0xFFFF
_FOUND_TYPES = FieldTypes(name=(str,), answer=(str,), device_id=(str,))
_WAY_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


class WishImpossible(ValueError):  # noqa: N818 - names the situation; the remedy is a person's
    """A person wished for what this connection cannot give. The verb makes a usage error of it (exit code 2).

    `wish` is the name of the field of Wishes (or RegisterRange) that is wrong; empty = none of them alone.
    """

    def __init__(self, message: str, *, wish: str = "") -> None:
        super().__init__(message)
        self.wish = wish


class AnswerWrong(ValueError):  # noqa: N818 - names the situation; the message says what would be right
    """What a person answered cannot be. The message says what would be right; the question is asked again."""


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """How a person wants a connection to be looked at. A driver takes what it can use and leaves the rest."""

    # Numbers that devices may have on a bus, from 0 to 255.
    units: Sequence[int]
    # How long one that is asked is waited for, in milliseconds.
    timeout_ms: int
    # How long those that speak by themselves are listened to, in seconds.
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Found:
    """One device, address or topic that was asked or heard: a row that `scan` shows."""

    # A unit id, an address, a topic, or the number of a line.
    name: str
    # What it said, on one line.
    answer: str
    # What the site file has there; empty = nothing.
    device_id: str = ""

    def __post_init__(self) -> None:
        _FOUND_TYPES.check(self)


@dataclass(frozen=True, kw_only=True)
class Search:
    """A search on one connection, not yet begun: what the hook `scan` returns."""

    # What is found ("units"), and what is done for it ("247 asked").
    rows_are: str
    effort: str
    # How many times `run` yields, at most: the length of the progress bar.
    steps: int
    # Yields, after each step, what it found. Raises any DriverError; it is closed if the person stops.
    run: Callable[["DriverContext"], AsyncGenerator[Sequence[Found], None]]


@dataclass(frozen=True, kw_only=True)
class RegisterRange:
    """Which registers `probe` wants of one unit."""

    unit: int
    table: RegisterTable
    # The first address, as it stands on the wire, and how many there are.
    start: int
    count: int
    # How long each answer is waited for, in milliseconds; None = as the connection says.
    timeout_ms: int | None = None


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """Addresses in a row that were read together, or that the unit does not give: what the hook `probe` yields."""

    address: int
    count: int
    # Empty = not given.
    values: Sequence[int | bool] = ()
    # Why not.
    refusal: str = ""

    def __post_init__(self) -> None:
        if self.values and len(self.values) != self.count:
            raise ValueError(f"a stretch of {self.count} addresses has {len(self.values)} values")
        for value in self.values:
            if type(value) not in {int, bool} or not 0 <= value <= _REGISTER_MAX:
                raise ValueError(f"{value!r} is no register and no bit")


@dataclass(frozen=True, kw_only=True)
class DraftDevice:
    """A device that was found, or a group of them."""

    # In the order of the file; `id` first.
    keys: Mapping[str, TomlValue]
    # Sentences that stand above it.
    comments: Sequence[str] = ()
    is_group: bool = False

    def __post_init__(self) -> None:
        _check_keys(self.keys)


@dataclass(frozen=True, kw_only=True)
class DraftConnection:
    """A wire, host or broker in a first site file."""

    # What its id is made of; the first one of a name has it as its id.
    name: str
    # In the order of the file, behind `id` and `driver`.
    keys: Mapping[str, TomlValue]
    devices: Sequence[DraftDevice] = ()
    comments: Sequence[str] = ()
    # What a device of it would look like; shown where there is none.
    example: Mapping[str, TomlValue] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(self.name, str):
            raise TypeError(f"the name {self.name!r} of a connection is no text")
        _check_keys(self.keys)
        _check_keys(self.example)


def _check_keys(keys: Mapping[str, TomlValue]) -> None:
    for key, value in keys.items():
        texts = value if isinstance(value, list | tuple) else ()
        if not isinstance(value, str | int | float | list | tuple) or not all(isinstance(text, str) for text in texts):
            raise TypeError(f"{key} is {value!r}; a draft takes texts, numbers, booleans and lists of texts")


@dataclass(frozen=True, kw_only=True)
class Look:
    """What a look at a connection may use."""

    context: "DriverContext"
    # The driver's profiles, each as a device. Reading them takes a moment.
    models: Callable[[], Sequence[DeviceSettings]]
    # Asks which profile a device has, if a person is there; the fits come best first. None = none of them.
    choose: Callable[[str, Sequence[Fit]], Fit | None]
    # Makes a device id that is free in the whole site, from a word.
    new_id: Callable[[str], str]
    # Moves the progress bar on by one step.
    tick: Callable[[], None]


@dataclass(frozen=True, kw_only=True)
class Survey:
    """A look at a connection that no site file describes yet, not yet begun."""

    # What the progress bar says, and how many steps it has.
    what: str
    steps: int
    # Drafts the connection with the devices that it finds. Raises any DriverError: it is then drafted without devices.
    run: Callable[[Look], Awaitable[DraftConnection]]


@dataclass(frozen=True, kw_only=True)
class Way:
    """One way to name a connection: an option of `init`, and one of the kinds that it asks for at a terminal."""

    # Small letters, digits and dashes: `modbus-tcp` makes the option --modbus-tcp.
    name: str
    # What a person writes ("HOST[:PORT]"), and what that is, in one sentence.
    metavar: str
    help: str
    # Returns the connection's options. Raises AnswerWrong.
    read: Callable[[str], object]

    def __post_init__(self) -> None:
        if _WAY_NAME.fullmatch(self.name) is None:
            raise ValueError(f"{self.name!r} is no name of a way: small letters, digits and dashes")


@dataclass(frozen=True, kw_only=True)
class FirstDay:
    """How `init` makes connections of a driver.

    Where the connection options have a field `credential`, `init` has an option for it as well.
    """

    ways: Sequence[Way]
    # Drafts a connection from its options, without a look at it.
    draft: Callable[[object], DraftConnection]
    # Plans a look at a connection with these options; None = there is nothing to look for. Raises WishImpossible.
    survey: Callable[[object, Wishes], Survey] | None = None

    def __post_init__(self) -> None:
        if not all(isinstance(way, Way) for way in self.ways):
            raise TypeError("ways holds something that is no Way")


class SimulatedHouse(Protocol):
    """The greenhouse that `simulate` shows."""

    def measured(self, device: DeviceSettings) -> Mapping[str, Value]:
        """Return what a device's points show now, in canonical units; each device is a little wrong in its own way."""


@dataclass(frozen=True, kw_only=True)
class Simulation:
    """Where and what `simulate` shows: the same for all drivers."""

    house: SimulatedHouse
    # The address to listen on.
    listen: str
    # The folder in which serial ports appear.
    ports: Path
    # The TCP ports of the last run by connection: with the same ones a gateway does not notice the restart.
    earlier: Mapping[str, int]
    # An MQTT broker that the person has; None = each driver opens its own.
    broker_url: str | None
    # Equal seeds give equal chance.
    seed: int
    # The site's, an IANA name.
    time_zone: str


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """Where a connection is simulated."""

    # What the site file has to say for it.
    changes: Mapping[str, Change]
    # For people: where it is, and which devices are there.
    sentence: str

    def __post_init__(self) -> None:
        for key, change in self.changes.items():
            if not (change is None or isinstance(change, str | int)):
                raise TypeError(f"{key} is to be {change!r}; it can be a text, a number or None")
