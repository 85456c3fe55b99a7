"""The tools accept the same configuration files as the SDK, and each run has its own files."""

import os
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from tools import configuration, local_run
from tools.configuration import BadConfiguration, checked, chosen, environment_name, load
from tools.local_run import LocalRun, latest_warehouse
from tools.stage import ROOT


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(configuration, "ROOT", tmp_path)
    monkeypatch.setattr(local_run, "ROOT", tmp_path)
    monkeypatch.setattr(local_run, "FILES", tmp_path / "files")
    monkeypatch.setattr(local_run, "stage", lambda folder: folder.mkdir(parents=True))
    return tmp_path


def test_the_local_configuration_goes_before_the_tracked_one(root: Path) -> None:
    (root / "configuration.json").touch()
    assert chosen({}) == root / "configuration.json"
    (root / "configuration.local.json").touch()
    assert chosen({}) == root / "configuration.local.json"


def test_a_configuration_that_is_named_goes_before_both(root: Path) -> None:
    (root / "configuration.local.json").touch()
    assert chosen({"CONFIGURATION": "configuration.eu.json"}) == root / "configuration.eu.json"
    assert chosen({"CONFIGURATION": "/secrets/eu.json"}) == Path("/secrets/eu.json")
    assert chosen({"CONFIGURATION": ""}) == root / "configuration.local.json"


def test_a_profile_has_its_own_configuration_and_never_the_local_one(root: Path) -> None:
    (root / "configuration.local.json").touch()
    assert chosen({"PROFILE": "eu"}) == root / "configuration.eu.json"
    assert chosen({"PROFILE": "eu", "CONFIGURATION": "x.json"}) == root / "x.json"


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b'\xef\xbb\xbf{"api_key": "pk_test_X"}', "begins with a byte order mark"),
        ('{"api_key": "größe"}'.encode("latin-1"), "not UTF-8"),
        (b"\xff\xfe{\x00}\x00", "not UTF-8"),
        (b'{"api_key": "pk_test_X",}', "not JSON (line 1, column"),
        (b"[]", "must be a JSON object"),
        (b'{"api_key": "pk_test_X", "requests_per_second": 5}', "'requests_per_second' must be"),
        (b'{"api_key": "pk_test_X", "streams": null}', "'streams' must be text"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"max_retries": ' + b"1" * 5_000 + b"}", "contains a number that is too long"),
        (("{" + ",".join(f'"k{n}": "v"' for n in range(101)) + "}").encode(), "more than 100"),
        (b"", 'It is empty. It must contain {"api_key": "..."}.'),
        (b" \n", "It is empty."),
        (b"pk_test_X\n", 'a key without the JSON around it. It must contain {"api_key": "..."}.'),
    ],
)
def test_what_the_sdk_would_refuse_is_refused_in_a_sentence(
    tmp_path: Path, content: bytes, sentence: str
) -> None:
    path = tmp_path / "configuration.json"
    path.write_bytes(content)
    with pytest.raises(BadConfiguration) as trouble:
        load(path)
    assert sentence in str(trouble.value)


@pytest.mark.parametrize(
    "content", ['{"pk_test_X": null}', '{"api_key": "a-secret", "a-secret": 1}']
)
def test_a_key_that_stands_in_place_of_a_settings_name_is_not_shown(
    tmp_path: Path, content: str
) -> None:
    path = tmp_path / "configuration.json"
    path.write_text(content)
    with pytest.raises(BadConfiguration) as trouble:
        load(path)
    assert str(trouble.value) == "'(not shown)' must be text in quotes, such as \"10\"."


def test_a_file_that_is_missing_is_said_to_be(tmp_path: Path) -> None:
    with pytest.raises(BadConfiguration, match="There is no such file"):
        load(tmp_path / "configuration.json")


def test_a_setting_that_the_connector_refuses_is_refused_here(tmp_path: Path) -> None:
    path = tmp_path / "configuration.json"
    path.write_text('{"api_key": "pk_test_X", "max_retries": "many"}')
    with pytest.raises(BadConfiguration, match="max_retries is 'many'"):
        checked(path)


def test_every_configuration_has_files_of_its_own(root: Path) -> None:
    places = [
        root / "configuration.json",
        root / "configuration.eu.json",
        root / "configuration.us.json",
        root / "configuration.demo.json",
        Path("/secrets/configuration.json"),
        Path("/secrets/configuration.eu.json"),
    ]
    folders = {LocalRun(place).files for place in places}
    assert len(folders) == len(places)
    assert LocalRun(root / "configuration.local.json").files == root / "files"
    assert LocalRun(root / "configuration.eu.json").files == root / "files" / "eu"
    assert root / "files" / "demo" not in folders  # kept by `make demo`


def test_a_name_is_safe_as_a_folder(root: Path) -> None:
    assert environment_name(root / "configuration...json") == "other"
    assert "/" not in environment_name(Path("/secrets/my prod key.json"))


def run_with(root: Path, **files: str) -> LocalRun:
    run = LocalRun(root / "configuration.json")
    run.files.mkdir(mode=0o755)
    for name, content in files.items():
        (run.files / name.replace("_", ".")).write_text(content)
    return run


def test_a_state_without_its_warehouse_is_removed_and_that_is_said(root: Path) -> None:
    run = run_with(root, state_json="{}")
    (said,) = run.prepare()
    assert "files/warehouse.db is gone" in said
    assert "starts over" in said
    assert not run.state.exists()


def test_a_state_that_was_cut_short_names_its_file_and_what_to_do(root: Path) -> None:
    run = run_with(root, state_json='{"version": 2, "str', warehouse_db="")
    with pytest.raises(SystemExit, match=r"files/state\.json is damaged\. 'make reset' removes"):
        run.prepare()


def test_what_runs_leave_is_private_and_temporary_files_of_killed_ones_go(root: Path) -> None:
    run = run_with(root, state_json="{}", warehouse_db="")
    run.temporary.mkdir()
    (run.temporary / "rows.csv").write_text("a person's address")
    assert run.prepare() == []
    modes = [path.stat().st_mode & 0o777 for path in (run.files, run.state, run.warehouse)]
    assert modes == [0o700, 0o600, 0o600]
    assert list(run.temporary.iterdir()) == []


def test_the_commands_that_are_named_carry_the_configuration(root: Path) -> None:
    (root / "configuration.json").touch()
    assert LocalRun(chosen({})).command("sql") == "make sql"
    eu = LocalRun(chosen({"CONFIGURATION": "configuration.eu.json"}))
    assert eu.command("sql") == "CONFIGURATION=configuration.eu.json make sql"
    (root / "configuration.local.json").touch()
    tracked = LocalRun(chosen({"CONFIGURATION": "configuration.json"}))
    assert tracked.command("reset") == "CONFIGURATION=configuration.json make reset"


def warehouse(path: Path, *, rows: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE SCHEMA tester; CREATE TABLE tester.brand (id VARCHAR)")
        connection.execute("INSERT INTO tester.brand SELECT 'x' FROM range(?)", [rows])
    return path


@pytest.mark.parametrize("name", ["tmp", "_tmp", ".tmp", "usual", "_usual"])
def test_a_usual_run_leaves_the_folders_of_every_other_configuration(
    root: Path, name: str
) -> None:
    other = LocalRun(root / f"configuration.{name}.json")
    other.prepare()
    other.warehouse.touch()
    usual = LocalRun(root / "configuration.json")
    usual.prepare()
    usual.reset()
    assert other.warehouse.exists()
    assert other.project.exists()


def test_the_newest_warehouse_is_the_newest_that_holds_rows(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CONFIGURATION", raising=False)
    empty = warehouse(root / "files" / "eu" / "warehouse.db", rows=0)
    with pytest.raises(SystemExit, match="No rows have landed yet"):
        latest_warehouse()
    full = warehouse(root / "files" / "warehouse.db", rows=2)
    os.utime(empty, (full.stat().st_mtime + 60,) * 2)
    assert latest_warehouse() == full


@pytest.mark.parametrize("command", [latest_warehouse, local_run.main], ids=["sql", "reset"])
def test_a_configuration_that_is_not_there_is_told_and_leaves_no_folder(
    root: Path, monkeypatch: pytest.MonkeyPatch, command: Callable[[], object]
) -> None:
    monkeypatch.setenv("CONFIGURATION", "configuration.ue.json")
    with pytest.raises(SystemExit, match=r"configuration\.ue\.json: There is no such file"):
        command()
    assert list(root.iterdir()) == []


def test_two_runs_at_once_do_not_share_files(root: Path) -> None:
    with (
        run_with(root).alone(),
        pytest.raises(SystemExit, match="Another sync is writing to files/"),
        LocalRun(root / "configuration.json").alone(),
    ):
        pass


def test_a_reset_leaves_the_files_of_other_configurations(root: Path) -> None:
    run = run_with(root, state_json="{}", warehouse_db="")
    other = run.files / "eu" / "warehouse.db"
    other.parent.mkdir()
    other.touch()
    assert run.reset() == "Removed from files/: warehouse.db, state.json."
    assert other.exists()
    assert run.reset() == "Nothing to reset in files/."


def test_the_tracked_configuration_holds_the_placeholder_and_local_ones_are_ignored() -> None:
    with pytest.raises(BadConfiguration, match="placeholder"):
        checked(ROOT / "configuration.json")
    assert "configuration.*.json" in (ROOT / ".gitignore").read_text().split()
