import gc
import weakref
from collections.abc import Iterator

import pytest

from edge.operate.garbage import YOUNG_OBJECTS_MAX, look_less_often


class Circle:
    """An object that refers to itself."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture
def as_before() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)
    gc.unfreeze()


@pytest.mark.usefixtures("as_before")
def test_what_the_start_made_is_not_looked_at_and_later_circles_still_go() -> None:
    look_less_often()
    assert gc.get_freeze_count() > 0
    later = weakref.ref(Circle())
    kept = [[] for _ in range(2 * YOUNG_OBJECTS_MAX)]  # type: ignore[var-annotated]
    assert later() is None
    assert len(kept) == 2 * YOUNG_OBJECTS_MAX
