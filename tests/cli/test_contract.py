from pathlib import Path

from edge.contract.published import FOLDER, published
from edge.domain.event import EventType
from fakes.command_line import told, typed


def test_what_is_written_is_every_published_file_as_it_is(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "contract"
    result = typed("contract", "--out", out)
    assert (result.exit_code, result.stderr) == (0, "")
    written = {path.relative_to(out).as_posix(): path.read_text() for path in out.rglob("*") if path.is_file()}
    assert written == published()
    assert result.stdout.endswith(f"{len(written)} files written to {out}\n")
    for lying in FOLDER.rglob("*.json"):
        assert written[lying.relative_to(FOLDER).as_posix()] == lying.read_text()


def test_without_a_folder_nothing_is_written_and_every_kind_of_file_is_named() -> None:
    listed = typed("contract").stdout.splitlines()
    titles = [line.split()[0] for line in listed if "  " in line]
    for name in published():
        assert any(name == title or (title.endswith("/") and name.startswith(title)) for title in titles), name
    assert listed[-1] == f"{len(published())} files with --out FOLDER"


def test_as_json_each_type_has_its_stream_and_its_files(tmp_path: Path) -> None:
    record = told("contract")
    assert (record["schemaVersion"], record["out"]) == (1, None)
    assert set(record["types"]) == {event_type.value for event_type in EventType}
    assert record["types"]["ReadingsDropped"]["stream"] == "gateway-{gatewayId}"
    for each in record["types"].values():
        assert {each["schema"], each["example"]} <= set(record["files"])
    assert told("contract", "--out", tmp_path)["out"] == str(tmp_path)


def test_a_folder_that_cannot_be_written_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / "schemas").write_text("in the way")
    result = typed("contract", "--out", tmp_path)
    assert result.exit_code == 1
    assert "schemas" in result.stderr
