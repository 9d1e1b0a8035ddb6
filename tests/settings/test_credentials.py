from pathlib import Path

import pytest

from edge.settings.credentials import CredentialMissing, credential


def test_a_credential_is_looked_for_in_systemds_directory_then_the_given_one_then_the_environment(
    tmp_path: Path,
) -> None:
    systemd, given = tmp_path / "systemd", tmp_path / "given"
    environment = {"GREENHOUSE_EDGE_CREDENTIAL_EVENT_STORE": "c:3", "CREDENTIALS_DIRECTORY": str(systemd)}
    assert credential("event-store", directory=given, environment=environment) == "c:3"
    given.mkdir()
    (given / "event-store").write_text("b:2\n")
    assert credential("event-store", directory=given, environment=environment) == "b:2"
    systemd.mkdir()
    (systemd / "event-store").write_text("a:1\r\n")
    assert credential("event-store", directory=given, environment=environment) == "a:1"


def test_a_missing_credential_says_where_it_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(CredentialMissing) as caught:
        credential("broker", directory=tmp_path, environment={})
    assert str(tmp_path / "broker") in str(caught.value)
    assert "$GREENHOUSE_EDGE_CREDENTIAL_BROKER" in str(caught.value)


@pytest.mark.parametrize("name", ["../secret", "a/b", "", ".hidden", "a\n"])
def test_a_name_that_leads_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "secret").write_text("x:y")
    with pytest.raises(CredentialMissing, match="cannot be the name"):
        credential(name, directory=tmp_path / "inner", environment={})
