"""Whether the fields of what a driver made are what they must be: a third party's code need not be checked by mypy."""

from itertools import product
from operator import attrgetter


class FieldTypes:
    """The types that the fields of a class may have.

    They are exact: a subclass (a number of numpy, an enum that is a text) may compare, calculate or print as it likes.
    """

    def __init__(self, **types: tuple[type, ...]) -> None:
        self._types = types
        self._values = attrgetter(*types)
        # One look-up for all fields: this is done for each reading of each sample.
        self._allowed = frozenset(product(*types.values()))

    def check(self, instance: object) -> None:
        """Raise TypeError, naming the field, if one of them has another type."""
        found = tuple(map(type, self._values(instance)))
        if found in self._allowed:
            return
        for (name, allowed), got in zip(self._types.items(), found, strict=True):
            if got not in allowed:
                names = " or ".join(one.__name__.removesuffix("Type") for one in allowed)
                raise TypeError(f"{name} is of type {got.__name__}; it must be {names}")


def check_text(name: str, text: str, *, length_max: int) -> None:
    """Raise ValueError, naming the field, for a text that is too long or that UTF-8 cannot hold."""
    if len(text) > length_max:
        raise ValueError(f"{name} is a text of {len(text)} characters; it may have {length_max}")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"{name} is a text that UTF-8 cannot hold") from error
