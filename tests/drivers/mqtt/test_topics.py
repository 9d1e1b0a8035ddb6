"""Topic filters as the specification means them, and patterns of groups."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.mqtt.topics import (
    FilterTree,
    filter_mistake,
    matches,
    names_a_device,
    overlap,
    topic_pattern,
    widest,
)

LEVELS = st.sampled_from(["a", "b", "", "$c"])
TOPICS = st.lists(LEVELS, min_size=1, max_size=4).map("/".join)
FILTERS = st.builds(
    lambda levels, rest: "/".join([*levels, *rest]),
    st.lists(st.one_of(LEVELS, st.just("+")), min_size=1, max_size=3),
    st.sampled_from([[], ["#"]]),
)


@pytest.mark.parametrize(
    ("topic_filter", "topic", "is_match"),
    [
        # MQTT 5.0, section 4.7.1.
        ("sport/tennis/player1/#", "sport/tennis/player1", True),
        ("sport/tennis/player1/#", "sport/tennis/player1/ranking", True),
        ("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", True),
        ("sport/#", "sport", True),
        ("#", "sport", True),
        ("sport/tennis/+", "sport/tennis/player1", True),
        ("sport/tennis/+", "sport/tennis/player1/ranking", False),
        ("sport/+", "sport", False),
        ("sport/+", "sport/", True),
        ("+/+", "/finance", True),
        ("/+", "/finance", True),
        ("+", "/finance", False),
        ("#", "$SYS/uptime", False),
        ("+/uptime", "$SYS/uptime", False),
        ("$SYS/#", "$SYS/uptime", True),
        ("$SYS/+", "$SYS/uptime", True),
        ("sport/Tennis", "sport/tennis", False),
    ],
)
def test_a_filter_matches_as_the_specification_says(topic_filter: str, topic: str, *, is_match: bool) -> None:
    assert matches(topic_filter, topic) is is_match


@given(st.lists(FILTERS, max_size=8), TOPICS)
def test_a_tree_finds_exactly_the_filters_that_match(filters: list[str], topic: str) -> None:
    tree = FilterTree[int]()
    for index, topic_filter in enumerate(filters):
        tree.add(topic_filter, index)
    expected = [index for index, topic_filter in enumerate(filters) if matches(topic_filter, topic)]
    assert sorted(tree.matching(topic)) == expected


@given(st.lists(FILTERS, max_size=8), TOPICS)
def test_the_widest_filters_bring_all_that_all_bring(filters: list[str], topic: str) -> None:
    assert any(matches(each, topic) for each in widest(filters)) == any(matches(each, topic) for each in filters)


def test_a_filter_that_another_covers_is_left_out() -> None:
    assert widest(["a/b", "a/+", "a/b", "a/#", "a"]) == ("a/#",)
    assert widest(["a/+/c", "a/b/+"]) == ("a/+/c", "a/b/+")
    assert widest(["#", "$SYS/uptime", "+/#"]) == ("#", "$SYS/uptime")


@given(FILTERS, FILTERS, TOPICS)
def test_filters_that_share_a_topic_overlap(one: str, other: str, topic: str) -> None:
    assert overlap(one, other) == overlap(other, one)
    if matches(one, topic) and matches(other, topic):
        assert overlap(one, other)


@pytest.mark.parametrize(
    ("one", "other", "is_overlap"),
    [
        ("a/+/c", "a/b/+", True),
        ("a/+", "a/b/c", False),
        ("a/#", "a", True),
        ("a/b", "a/c", False),
        ("#", "$a/b", False),
    ],
)
def test_filters_overlap_where_a_topic_can_match_both(one: str, other: str, *, is_overlap: bool) -> None:
    assert overlap(one, other) is is_overlap


@pytest.mark.parametrize(
    ("text", "topic_filter", "topic", "name"),
    [
        ("tele/{name}/SENSOR", "tele/+/SENSOR", "tele/bench 3/SENSOR", "bench 3"),
        ("tele/{name}/SENSOR", "tele/+/SENSOR", "tele/a/b/SENSOR", None),
        ("tele/{name}/SENSOR", "tele/+/SENSOR", "tele//SENSOR", None),
        ("zigbee2mqtt/{name:any_depth}", "zigbee2mqtt/#", "zigbee2mqtt/Bench 3/left", "Bench 3/left"),
        ("zigbee2mqtt/{name:any_depth}", "zigbee2mqtt/#", "zigbee2mqtt", None),
        ("x/{name:any_depth}/up", "x/#", "x/a/b/up", "a/b"),
        ("x/{name:any_depth}/up", "x/#", "x/a/b/down", None),
        ("shelly-{name}/status/+", "+/status/+", "shelly-1f/status/temperature:0", "1f"),
        ("shelly-{name}/status/+", "+/status/+", "lamp/status/temperature:0", None),
        ("{name}/status/#", "+/status/#", "a/status", "a"),
        ("{name}/status/#", "+/status/#", "a/status/x/y", "a"),
        ("{name}/{name}_state", "+/+", "a/a_state", "a"),
        ("{name}/{name}_state", "+/+", "a/b_state", None),
        ("a.c/{name}", "a.c/+", "abc/x", None),
    ],
)
def test_a_pattern_finds_the_name_in_a_topic(text: str, topic_filter: str, topic: str, name: str | None) -> None:
    pattern = topic_pattern(text)
    assert pattern.filter == topic_filter
    assert pattern.name_in(topic) == name
    if name is not None:
        assert matches(pattern.filter, topic)


def test_only_a_text_with_a_place_for_a_name_is_a_pattern() -> None:
    assert names_a_device("a/{name}")
    assert names_a_device("a/{name:any_depth}/b")
    assert not names_a_device("a/{topic}/{Name}")


@pytest.mark.parametrize(
    ("topic_filter", "mistake"),
    [
        ("", "is empty"),
        ("a/#/b", "#"),
        ("a/b#", "#"),
        ("a/b+/c", "+"),
        ("a\0b", "cannot be seen"),
        ("$share/group/a", "shared"),
        ("a" * 70_000, "longer"),
    ],
)
def test_a_filter_that_no_broker_takes_is_explained(topic_filter: str, mistake: str) -> None:
    said = filter_mistake(topic_filter)
    assert said is not None
    assert mistake in said


@given(FILTERS)
def test_any_other_filter_is_taken(topic_filter: str) -> None:
    if topic_filter:
        assert filter_mistake(topic_filter) is None
