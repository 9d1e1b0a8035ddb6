"""What a driver can hand over that no type allows, and that behaves as badly as Python lets it."""

from collections.abc import Iterator, Mapping
from dataclasses import fields
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from typing import Any

from hypothesis import strategies as st

from edge.domain.driver import ConnectionLost, DecodingBroke, DeviceUnreachable, DriverError, MalformedResponse
from edge.domain.reading import Origin, Quality, Reading, Reason, Sample


class VendorsExit(BaseException):
    """A vendor's own way to give up, past each `except Exception`."""


class Touchy:
    """Breaks whoever looks at it."""

    def _refuse(self, *_: object) -> Any:
        raise VendorsExit("do not touch")

    __str__ = __repr__ = __eq__ = __hash__ = __bool__ = __len__ = __iter__ = __getattr__ = __lt__ = __format__ = _refuse


class ArrayNumber(float):
    """As a library for arrays has them: a float that compares and prints by its own rules."""

    def __repr__(self) -> str:
        return f"float64({float(self)})"

    def __eq__(self, other: object) -> Any:
        return [float(self) == other]

    __hash__ = float.__hash__


class Word(StrEnum):
    OPEN = "open"


class TouchyMapping(Mapping[str, Reading]):
    """A mapping that gives other things from look to look."""

    def __init__(self) -> None:
        self._looks = 0

    def __getitem__(self, key: str) -> Reading:
        raise KeyError(key)

    def __iter__(self) -> Iterator[str]:
        self._looks += 1
        yield from ("air_temperature", "unheard_of")[: self._looks]

    def __len__(self) -> int:
        return 1


class UnspeakableError(DriverError):
    """An error of a driver that cannot say what it is."""

    def __str__(self) -> str:
        raise VendorsExit("no words")


ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=20)
SIMPLE = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([10**400, -(10**400), 2**1023, 2**63, -(2**63) - 1, 10**18]),
    st.floats(),
    ANY_TEXT,
    st.sampled_from(["x" * 10**6, "\ud800", "air_temperature", "Cel", "good", "live", "a"]),
    st.binary(max_size=20),
    st.sampled_from([*Quality, *Reason, *Origin]),
    st.sampled_from(
        [Word.OPEN, ArrayNumber(21.4), Decimal("21.4"), Fraction(1, 3), 1j, datetime(2026, 1, 1, tzinfo=UTC)]
    ),
    st.builds(bytearray),
    st.builds(object),
    st.builds(Touchy),
    st.builds(TouchyMapping),
    st.just(Sample),
)
ANYTHING = st.recursive(
    SIMPLE,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ANY_TEXT, inner, max_size=3) | st.tuples(inner, inner),
    max_leaves=5,
)


def forced(instance: Any, changes: Mapping[str, object]) -> Any:
    """Change a frozen object: nothing in Python keeps a driver from it."""
    for name, value in changes.items():
        object.__setattr__(instance, name, value)
    return instance


def changes_of(kind: type) -> st.SearchStrategy[dict[str, object]]:
    return st.dictionaries(st.sampled_from([item.name for item in fields(kind)]), ANYTHING, max_size=2)


def readings() -> st.SearchStrategy[object]:
    return st.builds(lambda changes: forced(Reading(value=21.4, unit="Cel"), changes), changes_of(Reading)) | ANYTHING


def samples(device_id: str) -> st.SearchStrategy[object]:
    """Samples of which any field, of theirs or of their readings, may be anything; or no samples at all."""

    def made(reading: object, changes: dict[str, object]) -> object:
        sample = Sample(device_id=device_id, readings={"air_temperature": Reading(value=21.4, unit="Cel")})
        return forced(sample, {"readings": {"air_temperature": reading}, **changes})

    return st.builds(made, readings(), changes_of(Sample)) | ANYTHING


def _error(kind: type[BaseException], device_id: object, cause: BaseException | None) -> BaseException:
    error = kind("odd")
    error.__cause__ = cause
    error.device_id = device_id  # type: ignore[attr-defined]  # all of these have it
    return error


PLAIN_ERRORS: st.SearchStrategy[BaseException] = st.sampled_from(
    [
        *(SystemExit(3), SystemExit(), KeyboardInterrupt(), GeneratorExit(), VendorsExit("enough"), UnspeakableError()),
        *(KeyError("x"), StopIteration(), StopAsyncIteration(), MemoryError(), RecursionError(), TimeoutError()),
        *(OSError(5, "I/O"), ExceptionGroup("two", [ValueError("x"), OSError(1, "y")])),
        BaseExceptionGroup("one", [KeyboardInterrupt()]),
    ]
)
ERRORS = PLAIN_ERRORS | st.builds(
    _error,
    st.sampled_from([DriverError, DeviceUnreachable, MalformedResponse, ConnectionLost, DecodingBroke]),
    ANYTHING,
    st.none() | PLAIN_ERRORS,
)
