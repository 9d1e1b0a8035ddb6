import json
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.configure.judge import MISTAKES_MAX, Demands, Outcome, judge, raised, resolve
from edge.configure.reading import Update
from edge.domain.author import encode_json
from edge.domain.configuration import Code, Stage, site_file_configuration
from edge.domain.settable import Limits, PointConfiguration
from edge.storage.configurations import DeviceVersions
from fakes.configure_world import make_device

DEVICE = make_device()
NOW_MS = 1_000_000


def an_update(
    revision: int,
    version: int,
    *,
    based_on: int | None = None,
    is_valid: bool = True,
    valid_until_ms: int | None = None,
) -> Update:
    return Update(
        event_id=UUID(int=revision),
        revision=revision,
        device_id=DEVICE.id,
        config_version=version,
        document={} if is_valid else {"nonsense": 1},
        based_on=based_on,
        valid_until_ms=valid_until_ms,
    )


updates = st.lists(
    st.tuples(
        st.integers(1, 8),
        st.none() | st.integers(0, 8),
        st.booleans() | st.just(value=True),
        st.none() | st.sampled_from([NOW_MS - 1, NOW_MS, NOW_MS + 1]),
    ),
    max_size=12,
).map(
    lambda items: [
        an_update(revision, version, based_on=based_on, is_valid=is_valid, valid_until_ms=until)
        for revision, (version, based_on, is_valid, until) in enumerate(items)
    ]
)


@settings(deadline=None)
@given(updates, st.lists(st.tuples(st.integers(0, 4), st.booleans()), max_size=8))
def test_every_update_is_decided_once_and_its_validity_does_not_depend_on_how_the_stream_was_cut(
    stream: list[Update], cuts: list[tuple[int, bool]]
) -> None:
    decided: dict[int, Outcome] = {}
    versions, waiting, rest = DeviceVersions(), list[Update](), list(stream)
    for size, is_final in [*cuts, (len(stream), True)]:
        waiting, rest = waiting + rest[:size], rest[size:]
        verdict = judge(waiting, DEVICE, versions, now_ms=NOW_MS, is_final=is_final)
        versions = verdict.versions
        for decision in verdict.decisions:
            assert decision.update.revision not in decided
            decided[decision.update.revision] = decision.outcome
        waiting = [update for update in waiting if update.revision not in decided]
        assert len(waiting) <= (0 if is_final else 1)
    assert set(decided) == {update.revision for update in stream}

    one_by_one, current = {}, DeviceVersions()
    for update in stream:
        verdict = judge([update], DEVICE, current, now_ms=NOW_MS, is_final=True)
        one_by_one[update.revision], current = verdict.decisions[0].outcome, verdict.versions
    assert versions == current
    valid = [revision for revision, outcome in one_by_one.items() if outcome is Outcome.APPLIED]
    assert [r for r in sorted(decided) if decided[r] is not Outcome.REJECTED] == valid
    if valid:
        assert decided[valid[-1]] is Outcome.APPLIED


@settings(deadline=None)
@given(updates)
def test_decisions_stand_in_the_order_of_the_stream_and_all_but_applied_have_reasons(stream: list[Update]) -> None:
    verdict = judge(stream, DEVICE, DeviceVersions(), now_ms=NOW_MS, is_final=True)
    revisions = [decision.update.revision for decision in verdict.decisions]
    assert revisions == sorted(revisions)
    for decision in verdict.decisions:
        assert bool(decision.mistakes) != (decision.outcome is Outcome.APPLIED)
        assert decision.stage is Stage.VALIDATION


def test_everything_that_is_wrong_is_told_together() -> None:
    update = an_update(0, 3, based_on=1, is_valid=False, valid_until_ms=NOW_MS - 1)
    [decision] = judge([update], DEVICE, DeviceVersions(stale=3, base=2), now_ms=NOW_MS, is_final=True).decisions
    assert [(m.code, m.limit) for m in decision.mistakes] == [
        (Code.STALE_VERSION, 3),
        (Code.CONFLICT, 2),
        (Code.EXPIRED, None),
        (Code.UNKNOWN_KEY, None),
    ]


@pytest.mark.parametrize(
    ("gateway_id", "message"),
    [(None, None), ("north-1", None), ("south-1", "gatewayId is south-1; this gateway is north-1")],
)
def test_an_update_that_names_another_gateway_is_not_applied(gateway_id: str | None, message: str | None) -> None:
    update = replace(an_update(0, 1), gateway_id=gateway_id)
    demands = Demands(gateway_id="north-1")
    [decision] = judge([update], DEVICE, DeviceVersions(), now_ms=NOW_MS, is_final=True, demands=demands).decisions
    told = [(mistake.path, mistake.code, mistake.message) for mistake in decision.mistakes]
    assert told == ([] if message is None else [("gatewayId", Code.OTHER_GATEWAY, message)])


@pytest.mark.parametrize(
    ("changed_by", "reason", "missing"),
    [("me", "why", []), (None, "why", ["changedBy"]), ("me", " ", ["reason"]), ("", None, ["changedBy", "reason"])],
)
def test_a_site_may_demand_who_and_what_for(changed_by: str | None, reason: str | None, missing: list[str]) -> None:
    update = replace(an_update(0, 1), changed_by=changed_by, reason=reason)
    demands = Demands(is_reason_required=True)
    [decision] = judge([update], DEVICE, DeviceVersions(), now_ms=NOW_MS, is_final=True, demands=demands).decisions
    assert [(mistake.path, mistake.code) for mistake in decision.mistakes] == [(key, Code.MISSING) for key in missing]
    assert [mistake.message for mistake in decision.mistakes] == [
        f"{key} is missing; this site demands it" for key in missing
    ]


def test_a_version_that_failed_at_the_device_is_used_up_but_nothing_is_based_on_it() -> None:
    before = DeviceVersions(stale=3, base=3)
    assert raised(before, Outcome.FAILED, 5) == DeviceVersions(stale=5, base=3)
    assert raised(before, Outcome.APPLIED, 5) == DeviceVersions(stale=5, base=5)
    assert raised(before, Outcome.SUPERSEDED, 5) == DeviceVersions(stale=5, base=5)
    assert raised(before, Outcome.REJECTED, 5) == before


def test_an_update_is_still_valid_in_the_last_millisecond() -> None:
    [decision] = judge(
        [an_update(0, 1, valid_until_ms=NOW_MS)], DEVICE, DeviceVersions(), now_ms=NOW_MS, is_final=True
    ).decisions
    assert decision.outcome is Outcome.APPLIED


DEVICE = make_device(poll_interval_min_s=3.0)
NEITHER = make_device(remote={})


def errors(document: dict[str, Any], device: Any = DEVICE) -> list[tuple[str, str, float | None]]:
    return [(mistake.path, mistake.code, mistake.limit) for mistake in resolve(document, device).mistakes]


def test_an_empty_document_is_the_site_file() -> None:
    resolved = resolve({}, DEVICE)
    assert resolved.mistakes == ()
    assert resolved.configuration == site_file_configuration(DEVICE)


def test_what_is_allowed_is_taken_and_the_rest_stays() -> None:
    document = {
        "enabled": False,
        "pollIntervalS": 5,
        "points": {"air_temperature": {"offset": 1, "gain": 1.1, "deadband": 0.2, "maxSilenceS": 60}},
        "setpoints": {},
        "recipe": None,
    }
    resolved = resolve(document, DEVICE)
    assert resolved.mistakes == ()
    configuration = resolved.configuration
    assert (configuration.enabled, configuration.poll_interval_s) == (False, 5.0)
    assert configuration.points == {
        "air_temperature": PointConfiguration(offset=1.0, gain=1.1, deadband=0.2, max_silence_s=60.0),
        "relative_humidity": PointConfiguration(),
    }


def point(**values: Any) -> dict[str, Any]:
    return {"points": {"air_temperature": values}}


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"pollIntervalS": 0.1}, ("pollIntervalS", "below_minimum", 3.0)),
        ({"pollIntervalS": 2.5}, ("pollIntervalS", "below_minimum", 3.0)),
        ({"pollIntervalS": 3601}, ("pollIntervalS", "above_maximum", 3600)),
        ({"pollIntervalS": 10**400}, ("pollIntervalS", "not_finite", None)),
        ({"pollIntervalS": float("nan")}, ("pollIntervalS", "not_finite", None)),
        ({"pollIntervalS": float("-inf")}, ("pollIntervalS", "not_finite", None)),
        ({"pollIntervalS": True}, ("pollIntervalS", "wrong_type", None)),
        ({"pollIntervalS": "5"}, ("pollIntervalS", "wrong_type", None)),
        ({"enabled": 1}, ("enabled", "wrong_type", None)),
        ({"points": []}, ("points", "wrong_type", None)),
        ({"points": {"air_temperature": 3}}, ("points.air_temperature", "wrong_type", None)),
        ({"points": {"air_temperature": None}}, ("points.air_temperature", "wrong_type", None)),
        ({"points": {"co2": {}}}, ("points.co2", "unknown_point", None)),
        ({"points": {"relative_humidity": {"offset": 1}}}, ("points.relative_humidity.offset", "not_permitted", None)),
        (point(offset=2.01), ("points.air_temperature.offset", "above_maximum", 2)),
        (point(offset=-2.01), ("points.air_temperature.offset", "below_minimum", -2)),
        (point(gain=0), ("points.air_temperature.gain", "not_permitted", None)),
        (point(deadband=-0.5), ("points.air_temperature.deadband", "below_minimum", 0)),
        (point(maxSilenceS=0), ("points.air_temperature.maxSilenceS", "not_permitted", None)),
        (point(alarm={"low": 8}), ("points.air_temperature.alarm", "not_supported", None)),
        (point(scale=8), ("points.air_temperature.scale", "unknown_key", None)),
        ({"setpoints": {"co2_target": 900}}, ("setpoints", "not_supported", None)),
        ({"recipe": {"id": "tomato"}}, ("recipe", "not_supported", None)),
        ({"host": "evil"}, ("host", "unknown_key", None)),
    ],
)
def test_what_is_wrong_is_told_and_the_site_file_stands_in_its_place(
    document: dict[str, Any], expected: tuple[str, str, float | None]
) -> None:
    assert errors(document) == [expected]
    assert resolve(document, DEVICE).configuration == site_file_configuration(DEVICE)


def test_limits_themselves_are_allowed() -> None:
    assert errors({"pollIntervalS": 3600, **point(offset=-2, deadband=1)}) == []


def test_a_value_equal_to_the_site_files_is_always_allowed() -> None:
    same = {"enabled": True, "pollIntervalS": 10, "points": {"relative_humidity": {"offset": 0, "gain": 1.0}}}
    assert errors(same, NEITHER) == []
    assert [code for _, code, _ in errors({"enabled": False, "pollIntervalS": 11}, NEITHER)] == ["not_permitted"] * 2
    # Though the site file's own value lies outside of what may be set from far.
    odd = replace(DEVICE, poll_interval_s=1.0, poll_interval_min_s=0.0)
    assert errors({"pollIntervalS": 1}, odd) == []


def test_what_is_set_has_no_more_digits_than_what_is_described() -> None:
    resolved = resolve(point(offset=0.1 + 0.2), DEVICE)
    assert resolved.configuration.points["air_temperature"].offset == 0.3
    # A reader knows limits and site file's values from DeviceDescribed, with 12 digits: these are allowed.
    odd = replace(
        DEVICE, poll_interval_s=200 / 3, remote={"poll_interval_s": Limits(minimum=100 / 3, maximum=1000 / 7)}
    )
    for described in (33.3333333333, 66.6666666667, 142.857142857):
        assert errors({"pollIntervalS": described}, odd) == []
    assert errors({"pollIntervalS": 66.6666666667}, replace(odd, remote={})) == []
    assert errors({"pollIntervalS": 33.3333333332}, odd) == [("pollIntervalS", "below_minimum", 33.3333333333)]


def test_a_site_file_can_not_loosen_what_a_profile_knows() -> None:
    device = make_device(
        poll_interval_min_s=30.0,
        poll_interval_s=60.0,
        remote={"poll_interval_s": Limits(minimum=1, maximum=100)},
    )
    assert errors({"pollIntervalS": 10}, device) == [("pollIntervalS", "below_minimum", 30.0)]


def test_the_message_says_value_and_limit() -> None:
    [mistake] = resolve({"pollIntervalS": 0.1}, make_device()).mistakes
    assert mistake.message == "pollIntervalS is 0.1; this site allows 2 or more"


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (
            {"points": {"air_temperature": None}},
            "points.air_temperature must be an object; leave it out to set nothing of this point",
        ),
        ({"pollIntervalS": 10**400}, "pollIntervalS must be a number that a double can hold"),
    ],
)
def test_the_message_is_true_of_what_was_written(document: dict[str, Any], message: str) -> None:
    assert [mistake.message for mistake in resolve(document, DEVICE).mistakes] == [message]


def test_many_mistakes_are_cut_and_the_cut_is_told() -> None:
    found = resolve({f"key{number}": 1 for number in range(1000)}, DEVICE).mistakes
    assert len(found) == MISTAKES_MAX
    assert (found[-1].code, found[-1].message) == (Code.FURTHER_ERRORS, "and 951 errors more")


values: st.SearchStrategy[object] = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just([]) | st.just({})
)
keys = st.sampled_from(["offset", "gain", "deadband", "maxSilenceS", "alarm", "other"])
documents = st.dictionaries(
    st.sampled_from(["enabled", "pollIntervalS", "setpoints", "recipe", "host"]), values
) | st.fixed_dictionaries(
    {
        "points": values
        | st.dictionaries(
            st.sampled_from(["air_temperature", "relative_humidity", "co2"]) | st.text(),
            values | st.dictionaries(keys | st.text(), values, max_size=3),
            max_size=3,
        )
    }
)


@settings(deadline=None)
@given(documents)
def test_whatever_is_asked_what_comes_out_keeps_the_limits(document: dict[str, Any]) -> None:
    resolved = resolve(document, DEVICE)
    configuration = resolved.configuration
    assert 3 <= configuration.poll_interval_s <= 3600
    temperature = configuration.points["air_temperature"]
    assert -2 <= temperature.offset <= 2
    assert temperature.gain != 0
    assert 0 <= temperature.deadband <= 1
    assert 0 < temperature.max_silence_s <= 3600
    assert configuration.points["relative_humidity"] == PointConfiguration()
    encode_json([mistake.message for mistake in resolved.mistakes])
    # Asking again for what came out is no mistake.
    again = {"pollIntervalS": configuration.poll_interval_s, "enabled": configuration.enabled}
    assert resolve(json.loads(json.dumps(again)), DEVICE).mistakes == ()
