import json
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import pytest

from edge.domain.clock import ClockState
from edge.operate.status import as_json, camel_case, json_pieces


@dataclass(frozen=True)
class Part:
    last_position: int
    age_s: float | None
    clock: ClockState
    by_device: dict[str, tuple[int, ...]]


def test_dataclasses_become_json_with_the_events_spelling() -> None:
    part = Part(last_position=7, age_s=None, clock=ClockState.SYNCHRONIZED, by_device={"bench_3": (1, 2)})
    assert as_json(part) == {"lastPosition": 7, "ageS": None, "clock": "synchronized", "byDevice": {"bench_3": [1, 2]}}


def test_ids_and_paths_become_text() -> None:
    assert as_json([UUID(int=0), Path("site.toml")]) == ["00000000-0000-0000-0000-000000000000", "site.toml"]


def test_a_live_object_has_no_place_in_a_status() -> None:
    with pytest.raises(TypeError, match="object has no place"):
        as_json({"writer": object()})


WHOLE = {
    "part": Part(last_position=7, age_s=None, clock=ClockState.SYNCHRONIZED, by_device={"bench_3": (1, 2)}),
    "parts": [Part(last_position=n, age_s=0.5, clock=ClockState.SYNCHRONIZED, by_device={}) for n in range(3)],
    "empty": ([], {}),
    "name": "Gewächshaus \N{SNOWMAN}",
    "clock": ClockState.SYNCHRONIZED,
    "none": None,
    "nothing": [],
    "no_key": {},
}


def test_the_pieces_of_a_status_make_up_its_json() -> None:
    assert json.loads("".join(json_pieces(WHOLE))) == as_json(WHOLE)
    assert json.loads("".join(json_pieces(WHOLE["part"]))) == as_json(WHOLE["part"])


def test_no_piece_holds_two_items_of_a_list() -> None:
    pieces = list(json_pieces({"fleet": {"devices": [{"deviceId": f"bench{n}"} for n in range(1000)]}}))
    assert max(piece.count("deviceId") for piece in pieces) == 1


@pytest.mark.parametrize(("name", "expected"), [("pid", "pid"), ("age_s", "ageS"), ("a_bc_d", "aBcD")])
def test_names_are_spelt_as_in_events(name: str, expected: str) -> None:
    assert camel_case(name) == expected
