import pytest

from edge.domain.userinfo import holds_userinfo, redact_userinfo


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("esdb://admin:changeit@host:2113?tls=true", "esdb://…@host:2113?tls=true"),
        ("cannot reach esdb+discover://u:p@ss@host/x, sorry", "cannot reach esdb+discover://…@host/x, sorry"),
        ("mqtts://user@broker", "mqtts://…@broker"),
        ("two: a://b:c@d and e://f:g@h", "two: a://…@d and e://…@h"),
    ],
)
def test_user_and_password_are_cut_out_of_what_is_shown(text: str, shown: str) -> None:
    assert holds_userinfo(text)
    assert redact_userinfo(text) == shown


@pytest.mark.parametrize("text", ["esdb://host:2113?tls=true", "http://host/a@b", "somebody@example.org", ""])
def test_what_holds_no_secret_stays_as_it_is(text: str) -> None:
    assert not holds_userinfo(text)
    assert redact_userinfo(text) == text
