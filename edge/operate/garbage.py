"""How often Python looks for objects that refer to each other in a circle."""

import gc

# Objects more than were given back. A gateway makes next to no circles, so with Python's 700 a seventh of the time at full
# load went into looks that find nothing.
YOUNG_OBJECTS_MAX = 10_000
# Looks before the next older objects are looked at, too: Python's own.
LOOKS = 10


def look_less_often() -> None:
    """Look at young objects seldom, and never again at those that there are: the start made them, and they stay.

    May be called again when more was made that stays.
    """
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS_MAX, LOOKS, LOOKS)
