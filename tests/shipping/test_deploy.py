"""The whole of `make deploy`: the real `fivetran deploy` against a fake of Fivetran's API."""

import base64
import io
import json
import re
import signal
import subprocess
import sys
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import takewhile
from pathlib import Path
from socketserver import StreamRequestHandler, TCPServer
from threading import Thread
from typing import Any

import duckdb
import pytest

from courier_async import __version__
from courier_async.catalog.streams import STREAMS
from courier_async.state.saved import VERSION as STATE_VERSION
from tests.support.checkout import checkout, shipped_names
from tests.support.clean_python import clean_python
from tests.support.fake_courier.process import FakeCourierProcess
from tests.support.fake_fivetran import FakeFivetran, fake_fivetran, use_fake_fivetran
from tests.support.hermetic import hermetic_environment
from tools.deploy import confirm_new
from tools.deploy_target import target_from
from tools.environment import is_on
from tools.fivetran_api import FivetranRefused, connection_names
from tools.git import git
from tools.stage import ROOT

FIVETRAN_KEY = base64.b64encode(b"kQ3vPz8TnW:s7FgYd2LxRb9MjHc4Ae6").decode()
COURIER_KEY = "pk_prod_9ZT1XQ7W4E8R2Y6U3I5O0PASDFGH"
CONFIGURATION = {"api_key": COURIER_KEY, "requests_per_second": "25", "sync_since": ""}

READ_BY_A_FIRST_DEPLOY = {
    "/v1/groups",
    "/v1/groups/grp_warehouse/connectors",
    "/v1/destinations/grp_warehouse",
    "/v1/connector-sdk/migration/connections",
}
READ_BY_A_REDEPLOY = READ_BY_A_FIRST_DEPLOY | {
    "/v1/connections/conn_1",
    "/v1/connections/conn_1/state",
    "/v1/connectors/conn_1",
    "/v1/connector-sdk/packages/pkg_earlier",
}

Deploy = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def fivetran() -> Iterator[FakeFivetran]:
    with fake_fivetran(FIVETRAN_KEY) as fake:
        yield fake


# One worker, so that tests that only look at the result share one deploy to the fake.
one_deploy = pytest.mark.xdist_group("deploy")
one_redeploy = pytest.mark.xdist_group("redeploy")


def configured_checkout(home: Path) -> Path:
    (home / "checkout").mkdir()
    folder = checkout(home / "checkout")
    (folder / "configuration.json").write_text(json.dumps(CONFIGURATION))
    return folder


def deploys_from(folder: Path, fivetran: FakeFivetran, home: Path) -> Deploy:
    """Returns a `make deploy` without a terminal; its keywords change the environment."""
    environment = hermetic_environment(home)
    use_fake_fivetran(home, fivetran.url)
    environment.pop("CI", None)  # With CI set, the SDK asks fewer questions.
    environment |= {
        "FIVETRAN_API_KEY": FIVETRAN_KEY,
        "FIVETRAN_DESTINATION_NAME": "Warehouse",
        "FIVETRAN_CONNECTION_NAME": "courier",
        "NEW": "1",
    }

    def run(**changes: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "tools.deploy"],
            cwd=folder,
            env=environment | changes,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        # No test may show a key, not even the eight characters that the SDK would show.
        for secret in (FIVETRAN_KEY, FIVETRAN_KEY[:8], COURIER_KEY):
            assert secret not in done.stdout + done.stderr
        return done

    return run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return configured_checkout(tmp_path)


@pytest.fixture
def deploy(folder: Path, fivetran: FakeFivetran, tmp_path: Path) -> Deploy:
    return deploys_from(folder, fivetran, tmp_path)


@dataclass(frozen=True)
class Deployed:
    """The output of one deploy, and the fake that it changed."""

    printed: str
    fivetran: FakeFivetran

    @property
    def config(self) -> dict[str, Any]:
        (connection,) = self.fivetran.connections.values()
        return dict(connection["config"])


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    """A first deploy."""
    home = tmp_path_factory.mktemp("first")
    with fake_fivetran(FIVETRAN_KEY) as fivetran:
        done = deploys_from(configured_checkout(home), fivetran, home)()
        assert done.returncode == 0, done.stdout + done.stderr
        yield Deployed(done.stdout, fivetran)


@pytest.fixture(scope="module")
def redeployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    """A deploy to the existing connection conn_1."""
    home = tmp_path_factory.mktemp("redeployed")
    with fake_fivetran(FIVETRAN_KEY) as fivetran:
        fivetran.add_connection("courier")
        done = deploys_from(configured_checkout(home), fivetran, home)(YES="1")
        assert done.returncode == 0, done.stdout + done.stderr
        yield Deployed(done.stdout, fivetran)


@one_deploy
def test_a_first_deploy_uploads_one_package_and_makes_one_connection(first: Deployed) -> None:
    assert first.fivetran.mutations() == [
        ("POST", "/v1/connector-sdk/packages"),
        ("POST", "/v1/connectors"),
    ]
    assert first.fivetran.reads() == READ_BY_A_FIRST_DEPLOY
    (connection,) = first.fivetran.connections.values()
    assert connection["schema"] == "courier"
    assert connection["group_id"] == "grp_warehouse"
    assert first.fivetran.archive_names(first.config["package_id"]) == shipped_names()


@one_deploy
def test_the_configuration_is_sent_as_secrets(first: Deployed) -> None:
    sent = {secret["key"]: secret["value"] for secret in first.config["secrets_list"]}
    assert sent == CONFIGURATION


@one_deploy
def test_a_deploy_says_one_short_line_a_step(first: Deployed) -> None:
    assert "courier_async/" not in first.printed
    assert len(first.printed.splitlines()) < 25
    assert "provided via" not in first.printed


def test_a_key_that_the_sdk_has_encrypted_is_sent_as_it_was_over_a_state_of_its_account(
    deploy: Deploy, fivetran: FakeFivetran, folder: Path, tmp_path: Path
) -> None:
    configuration = folder / "configuration.json"
    configuration.unlink()
    subprocess.run(
        ["fivetran", "configuration"],
        cwd=folder,
        env=hermetic_environment(tmp_path),
        input=COURIER_KEY + "\n" * 20,
        capture_output=True,
        text=True,
        check=True,
    )
    assert COURIER_KEY not in configuration.read_text()
    state = {"version": STATE_VERSION, "source": "api.courier.com pk_prod", "streams": {}}
    fivetran.states[fivetran.add_connection("courier")] = state
    done = deploy(YES="1")
    assert done.returncode == 0, done.stdout + done.stderr
    (connection,) = fivetran.connections.values()
    sent = {secret["key"]: secret["value"] for secret in connection["config"]["secrets_list"]}
    assert sent["api_key"] == COURIER_KEY


@one_redeploy
def test_a_redeploy_uploads_one_package_and_changes_the_one_connection(
    redeployed: Deployed,
) -> None:
    assert redeployed.fivetran.mutations() == [
        ("POST", "/v1/connector-sdk/packages"),
        ("PATCH", "/v1/connectors/conn_1"),
    ]
    assert redeployed.fivetran.reads() == READ_BY_A_REDEPLOY
    config = redeployed.config
    assert config["package_id"] != "pkg_earlier"
    assert redeployed.fivetran.archive_names(config["package_id"]) == shipped_names()
    assert {secret["key"]: secret["value"] for secret in config["secrets_list"]} == CONFIGURATION


def test_a_redeploy_in_ci_needs_no_settings_of_an_earlier_one(
    deploy: Deploy, fivetran: FakeFivetran
) -> None:
    fivetran.add_connection("courier")
    done = deploy(YES="1", CI="true")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "/v1/connector-sdk/migration/connections" not in fivetran.reads()
    assert [method for method, _ in fivetran.mutations()] == ["POST", "PATCH"]


@one_redeploy
def test_a_redeploy_says_what_it_replaces(redeployed: Deployed) -> None:
    said = redeployed.printed
    warning = said.index("Connection courier (conn_1) exists in Warehouse")
    assert "last successful sync: 2026-11-20T08:15:00Z" in said
    assert warning < said.index("uploading package")


def test_a_redeploy_that_nobody_confirms_changes_nothing(
    deploy: Deploy, fivetran: FakeFivetran
) -> None:
    fivetran.add_connection("courier")
    done = deploy()
    assert done.returncode != 0
    assert "Nothing was deployed: YES=1 confirms the replacement." in done.stderr
    assert fivetran.mutations() == []


def test_a_new_connection_that_nobody_confirms_is_not_made(
    deploy: Deploy, fivetran: FakeFivetran
) -> None:
    fivetran.add_connection("courier_prod")
    fivetran.add_connection("crm", service="postgres")
    done = deploy(FIVETRAN_CONNECTION_NAME="courier_prd", NEW="", YES="1")
    assert done.returncode != 0
    assert (
        "Nothing was deployed: courier_prd is not in Warehouse. Existing connections: "
        "courier_prod. NEW=1 confirms a new connection." in done.stderr
    )
    assert fivetran.mutations() == []


@pytest.mark.parametrize(
    ("others", "question"),
    [
        (
            ["courier_prod"],
            "Create courier_prd in Warehouse? Existing connections: courier_prod. [y/N] ",
        ),
        ([], "Create courier_prd in Warehouse? There are no connections yet. [y/N] "),
    ],
)
def test_a_new_connection_is_asked_about_on_a_terminal(
    folder: Path, monkeypatch: pytest.MonkeyPatch, others: list[str], question: str
) -> None:
    target = target_from(
        {
            "CONFIGURATION": str(folder / "configuration.json"),
            "FIVETRAN_API_KEY": FIVETRAN_KEY,
            "FIVETRAN_DESTINATION_NAME": "Warehouse",
            "FIVETRAN_CONNECTION_NAME": "courier_prd",
        },
        on_terminal=True,
    )
    asked: list[str] = []

    def yes(text: str) -> str:
        asked.append(text)
        return "y"

    monkeypatch.setattr("builtins.input", yes)
    confirm_new(target, {"YES"}, others, on_terminal=True)
    assert asked == [question]
    confirm_new(target, {"NEW"}, others, on_terminal=True)
    assert len(asked) == 1
    monkeypatch.setattr("builtins.input", lambda _: "")
    with pytest.raises(SystemExit, match="Nothing was deployed"):
        confirm_new(target, set(), others, on_terminal=True)


@one_redeploy
def test_a_connection_keeps_its_python_version(redeployed: Deployed) -> None:
    assert redeployed.config["python_version"] == "3.12"


def test_a_python_version_that_is_too_old_for_the_connector_is_raised(
    deploy: Deploy, fivetran: FakeFivetran
) -> None:
    config = fivetran.connections[fivetran.add_connection("courier")]["config"]
    config["python_version"] = "3.10"
    done = deploy(YES="1")
    assert config["python_version"] == "3.14"
    assert "Its Python version changes from 3.10 to 3.14." in done.stdout


def test_a_change_of_the_python_version_is_told(deploy: Deploy, fivetran: FakeFivetran) -> None:
    config = fivetran.connections[fivetran.add_connection("courier")]["config"]
    done = deploy(YES="1", FIVETRAN_PYTHON_VERSION="3.13")
    assert config["python_version"] == "3.13"
    assert "Its Python version changes from 3.12 to 3.13." in done.stdout


@pytest.mark.parametrize("version", ["3.10", "3.15", "3", "python3.12"])
def test_a_python_version_that_the_connector_does_not_run_on_is_an_error_before_any_call(
    deploy: Deploy, fivetran: FakeFivetran, version: str
) -> None:
    done = deploy(FIVETRAN_PYTHON_VERSION=version)
    assert done.returncode != 0
    assert f"The Python version is {version!r}. Allowed: 3.11, 3.12, 3.13, 3.14;" in done.stderr
    assert fivetran.calls == []


def test_a_connection_of_another_kind_is_left_alone(
    deploy: Deploy, fivetran: FakeFivetran
) -> None:
    fivetran.add_connection("courier", service="postgres")
    done = deploy(YES="1")
    assert done.returncode != 0
    assert "is a postgres connection" in done.stderr
    assert fivetran.mutations() == []


def test_a_key_that_fivetran_refuses_is_said_to_be(deploy: Deploy, fivetran: FakeFivetran) -> None:
    wrong_key = base64.b64encode(b"somebody:else").decode()
    done = deploy(FIVETRAN_API_KEY=wrong_key)
    assert done.returncode != 0
    assert "Fivetran does not accept FIVETRAN_API_KEY (401)" in done.stderr
    assert wrong_key not in done.stdout + done.stderr
    assert fivetran.calls == [("GET", "/v1/groups")]


def test_the_fivetran_key_does_not_follow_a_redirect(
    deploy: Deploy, fivetran: FakeFivetran
) -> None:
    with fake_fivetran(FIVETRAN_KEY) as elsewhere:
        fivetran.moved_to = elsewhere.url
        done = deploy()
    assert done.returncode != 0
    assert "Fivetran answered 302; nothing was deployed." in done.stderr
    assert elsewhere.calls == []


def test_an_unknown_destination_is_named_beside_those_that_are_known(
    deploy: Deploy, fivetran: FakeFivetran
) -> None:
    done = deploy(FIVETRAN_DESTINATION_NAME="Wherehouse")
    assert done.returncode != 0
    assert "No destination is named Wherehouse. Available: Staging, Warehouse." in done.stderr
    assert fivetran.mutations() == []


@pytest.fixture
def refusing_proxy() -> Iterator[str]:
    """Yields the address of a proxy that refuses both requests and tunnels."""

    class Handler(BaseHTTPRequestHandler):
        def refuse(self) -> None:
            self.send_error(407)

        do_GET = do_CONNECT = refuse

        def log_message(self, format: str, *args: object) -> None:
            """Logs nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}).start()
        yield f"http://user:p4ssw0rd@127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_refuses_is_told_by_its_variable_without_its_password(
    deploy: Deploy, tmp_path: Path, refusing_proxy: str, scheme: str
) -> None:
    use_fake_fivetran(tmp_path, f"{scheme}://fivetran.invalid")
    done = deploy(**{f"{scheme}_proxy": refusing_proxy, "no_proxy": ""})
    assert done.returncode != 0
    assert (
        f"Fivetran's API at {scheme}://fivetran.invalid cannot be reached through the proxy that "
        f"{scheme}_proxy names: the proxy answered 407. Nothing was deployed." in done.stderr
    )
    assert "p4ssw0rd" not in done.stdout + done.stderr


def test_the_version_and_the_commit_are_told_and_what_is_not_committed(
    deploy: Deploy, folder: Path, fivetran: FakeFivetran
) -> None:
    (folder / ".gitignore").write_text("__pycache__/\n")
    for command in (
        ["init", "--quiet"],
        ["add", "--all"],
        ["-c", "user.name=T", "-c", "user.email=t@example.com", "commit", "-q", "-m", "All"],
    ):
        subprocess.run(["git", *command], cwd=folder, check=True)
    commit = git(folder, "rev-parse", "--short", "HEAD")
    done = deploy(DRY_RUN="1", CI="true")
    rehearsal, line, *_ = done.stdout.splitlines()
    assert rehearsal == f"Fivetran: {fivetran.url} (a rehearsal)"
    assert line == f"Version: {__version__} ({commit})"

    (folder / "connector.py").open("a").write("\n")
    (folder / "notes.txt").touch()
    done = deploy(DRY_RUN="1")
    assert f"({commit}), with uncommitted changes: connector.py\n" in done.stdout
    fivetran.calls.clear()
    done = deploy(DRY_RUN="1", CI="true")
    assert done.returncode != 0
    assert "the files to deploy have uncommitted changes: connector.py." in done.stderr
    assert fivetran.calls == []


@one_deploy
def test_code_that_is_in_no_checkout_is_told_by_its_version(first: Deployed) -> None:
    assert f"Version: {__version__}\n" in first.printed


@pytest.mark.parametrize(
    ("url", "cause"),
    [
        ("http://127.0.0.1:9", "the connection was refused"),
        ("http://fivetran.invalid", "its name cannot be resolved (is this machine offline?)"),
    ],
)
def test_an_api_that_does_not_answer_is_an_error_that_names_the_cause(
    deploy: Deploy, tmp_path: Path, url: str, cause: str
) -> None:
    use_fake_fivetran(tmp_path, url)
    done = deploy()
    assert done.returncode != 0
    assert f"Fivetran's API at {url} cannot be reached: {cause}" in done.stderr
    assert "Nothing was deployed" in done.stderr


def test_a_setup_test_that_fails_at_fivetran_fails_the_deploy(
    deploy: Deploy, fivetran: FakeFivetran
) -> None:
    fivetran.failing_setup_test = f"Courier answered 401 to {COURIER_KEY}"
    done = deploy()
    assert done.returncode == 1
    assert "Courier answered 401 to [hidden]" in done.stdout


@pytest.mark.parametrize(
    ("api_key", "sentence"),
    [
        ("<YOUR_COURIER_API_KEY>", "placeholder"),
        ("${COURIER_API_KEY}", "placeholder"),
        ("", "api_key"),
        ("  ", "api_key"),
        (None, "api_key"),
    ],
)
def test_a_configuration_without_a_courier_key_is_refused_before_any_call(
    deploy: Deploy, folder: Path, fivetran: FakeFivetran, api_key: str | None, sentence: str
) -> None:
    (folder / "configuration.json").write_text(json.dumps(CONFIGURATION | {"api_key": api_key}))
    done = deploy()
    assert done.returncode != 0
    assert sentence in done.stderr
    assert fivetran.calls == []


def test_a_setting_that_is_not_known_is_not_sent_and_its_value_not_shown(
    deploy: Deploy, folder: Path, fivetran: FakeFivetran
) -> None:
    configuration = CONFIGURATION | {"webhook_secret": "s3cr3t"}
    (folder / "configuration.json").write_text(json.dumps(configuration))
    done = deploy(DRY_RUN="1")
    assert done.returncode != 0
    assert "an unknown setting: webhook_secret." in done.stderr
    assert "s3cr3t" not in done.stdout + done.stderr
    assert fivetran.calls == []


def test_another_configuration_is_deployed_when_it_is_named(
    deploy: Deploy, folder: Path, fivetran: FakeFivetran
) -> None:
    (folder / "configuration.json").unlink()
    (folder / "configuration.prod.json").write_text(json.dumps(CONFIGURATION))
    refused = deploy()
    assert "configuration.json cannot be deployed: There is no such file" in refused.stderr
    assert deploy(CONFIGURATION="configuration.prod.json").returncode == 0
    assert len(fivetran.connections) == 1


@pytest.mark.parametrize(
    "name", ["FIVETRAN_API_KEY", "FIVETRAN_DESTINATION_NAME", "FIVETRAN_CONNECTION_NAME"]
)
def test_what_is_missing_is_named_where_nobody_can_be_asked(
    deploy: Deploy, fivetran: FakeFivetran, name: str
) -> None:
    done = deploy(**{name: " "})
    assert done.returncode != 0
    assert f"{name} is not set" in done.stderr
    assert ("click your user name, then API Key" in done.stderr) == (name == "FIVETRAN_API_KEY")
    assert fivetran.calls == []


def test_a_key_that_is_not_encoded_is_refused(deploy: Deploy, fivetran: FakeFivetran) -> None:
    done = deploy(FIVETRAN_API_KEY="key:secret")
    assert "must be base64-encoded" in done.stderr
    assert fivetran.calls == []


def test_what_is_missing_is_asked_for_on_a_terminal_and_the_key_without_echo(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tools.deploy_target.getpass", lambda _: FIVETRAN_KEY)
    answers = iter(["Warehouse", "courier"])
    monkeypatch.setattr("builtins.input", lambda _: next(answers))
    environment = {"CONFIGURATION": str(folder / "configuration.json")}
    target = target_from(environment, on_terminal=True)
    assert target.api_key == FIVETRAN_KEY
    assert (target.destination, target.connection) == ("Warehouse", "courier")
    assert FIVETRAN_KEY not in repr(target)
    assert COURIER_KEY not in repr(target)


def test_a_redeploy_sends_the_pins_as_they_are_whatever_pipreqs_says(
    deploy: Deploy, folder: Path, fivetran: FakeFivetran, tmp_path: Path
) -> None:
    config = fivetran.connections[fivetran.add_connection("courier")]["config"]
    (tmp_path / "bin" / "pipreqs").write_text('#!/bin/sh\necho "msgspec==99.0.0" > "$3"\n')
    assert deploy(YES="1").returncode == 0
    archive = zipfile.ZipFile(io.BytesIO(fivetran.packages[config["package_id"]]))
    assert archive.read("requirements.txt") == (folder / "requirements.txt").read_bytes()


def test_a_deploy_that_changed_the_pins_all_the_same_is_an_error(
    deploy: Deploy, tmp_path: Path
) -> None:
    real = Path(sys.executable).parent / "fivetran"
    meddling = (
        f'#!/bin/sh\n{real} "$@"\n[ $1 = package ] || echo pytest==9.2.0 >> $2/requirements.txt\n'
    )
    (tmp_path / "bin" / "fivetran").write_text(meddling)
    (tmp_path / "bin" / "fivetran").chmod(0o755)
    done = deploy()
    assert done.returncode != 0
    assert (
        "The SDK changed requirements.txt before it sent the package: +pytest==9.2.0"
        in done.stderr
    )


@pytest.mark.parametrize("name", ["Courier", "1courier", "courier-eu", "größe"])
def test_a_connection_name_that_fivetran_refuses_is_refused_before_any_call(
    deploy: Deploy, fivetran: FakeFivetran, name: str
) -> None:
    done = deploy(FIVETRAN_CONNECTION_NAME=name)
    assert done.returncode != 0
    assert f"FIVETRAN_CONNECTION_NAME is {name!r}. Allowed: lower-case" in done.stderr
    assert fivetran.calls == []


@pytest.mark.parametrize("base_url", ["http://127.0.0.1:8080", "https://localhost:8443"])
def test_an_address_that_only_this_machine_reaches_is_refused_before_any_call(
    deploy: Deploy, fivetran: FakeFivetran, folder: Path, base_url: str
) -> None:
    (folder / "configuration.json").write_text(json.dumps(CONFIGURATION | {"base_url": base_url}))
    done = deploy()
    assert done.returncode != 0
    assert f"base_url is {base_url}, which Fivetran cannot reach" in done.stderr
    assert fivetran.calls == []


def test_a_dry_run_shows_what_would_be_sent_and_sends_nothing(
    deploy: Deploy, fivetran: FakeFivetran
) -> None:
    fivetran.add_connection("courier")
    done = deploy(DRY_RUN="1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert fivetran.mutations() == []
    for shown in (
        "Destination:    Warehouse",
        "Connection:     courier (conn_1)",
        "Python:         3.12",
        "api_key = '[hidden]'",
        "requests_per_second = '25'",
        "Nothing was sent",
    ):
        assert shown in done.stdout
    assert re.search(r"Package: +[\d,]+ bytes, \d+ files, sha256 [0-9a-f]{16}", done.stdout)


def test_a_profile_of_options_toml_says_where_to_deploy(
    deploy: Deploy, fivetran: FakeFivetran, folder: Path
) -> None:
    (folder / "options.toml").write_text(
        '[eu]\ndestination = "Staging"\nconnection = "courier_eu"\npython_version = "3.13"\n'
    )
    (folder / "configuration.eu.json").write_text(json.dumps(CONFIGURATION))
    done = deploy(PROFILE="eu", FIVETRAN_DESTINATION_NAME="", FIVETRAN_CONNECTION_NAME="")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"Profile: eu of {folder / 'options.toml'}." in done.stdout
    assert "Configuration: configuration.eu.json is valid." in done.stdout
    (connection,) = fivetran.connections.values()
    assert (connection["group_id"], connection["schema"]) == ("grp_staging", "courier_eu")
    assert connection["config"]["python_version"] == "3.13"


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"FIVETRAN_DESTINATION_NAME": "Warehouse"},
            "FIVETRAN_DESTINATION_NAME is 'Warehouse', but the destination of profile 'eu' is "
            "'Staging': unset FIVETRAN_DESTINATION_NAME, or PROFILE.",
        ),
        (
            {"FIVETRAN_DESTINATION_NAME": "Staging", "FIVETRAN_CONNECTION_NAME": "courier"},
            "FIVETRAN_CONNECTION_NAME is 'courier', but the connection of profile 'eu' is "
            "'courier_eu'",
        ),
    ],
)
def test_a_profile_and_names_that_contradict_it_are_an_error_before_any_call(
    deploy: Deploy,
    fivetran: FakeFivetran,
    folder: Path,
    changes: dict[str, str],
    sentence: str,
) -> None:
    (folder / "options.toml").write_text(
        '[eu]\ndestination = "Staging"\nconnection = "courier_eu"\n'
    )
    (folder / "configuration.eu.json").write_text(json.dumps(CONFIGURATION))
    done = deploy(PROFILE="eu", **changes)
    assert done.returncode != 0
    assert sentence in done.stderr
    assert fivetran.calls == []


@pytest.mark.parametrize("name", ["DRY_RUN", "YES", "RESYNC", "NEW", "VERBOSE"])
def test_a_switch_that_says_neither_yes_nor_no_is_an_error_before_any_call(
    deploy: Deploy, fivetran: FakeFivetran, name: str
) -> None:
    done = deploy(**{name: "on"})
    assert done.returncode != 0
    assert f"{name} is 'on'. Allowed: 1, true or yes; 0, false, no or nothing." in done.stderr
    assert fivetran.calls == []


@pytest.mark.parametrize(
    ("value", "on"),
    [("1", True), ("TRUE", True), ("yes", True), ("", False), ("0", False), ("No", False)],
)
def test_a_switch_is_read_in_any_case(value: str, *, on: bool) -> None:
    assert is_on({"DRY_RUN": value}, "DRY_RUN") == on
    assert not is_on({}, "DRY_RUN")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (None, "PROFILE is 'eu', but there is no options.toml."),
        ('[us]\nconnection = "courier"\n', "has no profile 'eu'. Available: us."),
        ("[us\n", "is not TOML"),
        (
            '[eu]\nconection = "courier"\n',
            "has unknown options: conection. Allowed: connection, destination,",
        ),
        ('[us]\nApi_Key = "abc"\n', "options.toml contains an API key."),
        ('us = {fivetran_api_key = "abc"}\n', "options.toml contains an API key."),
        (f'[us]\nnote = "{COURIER_KEY}"\n', "options.toml contains an API key."),
        ('[eu]\npython_version = "3.9"\n', "The Python version is '3.9'. Allowed: 3.11, 3.12,"),
    ],
)
def test_a_profile_that_cannot_be_read_is_an_error_before_any_call(
    deploy: Deploy, fivetran: FakeFivetran, folder: Path, options: str | None, sentence: str
) -> None:
    (folder / "configuration.eu.json").write_text(json.dumps(CONFIGURATION))
    if options is not None:
        (folder / "options.toml").write_text(options)
    done = deploy(PROFILE="eu")
    assert done.returncode != 0
    assert sentence in done.stderr
    assert fivetran.calls == []


def test_an_older_state_is_told_before_anything_is_sent(
    deploy: Deploy, fivetran: FakeFivetran
) -> None:
    fivetran.states[fivetran.add_connection("courier")] = {"version": 0, "streams": {}}
    done = deploy(YES="1", RESYNC="1")
    assert done.returncode == 0, done.stdout + done.stderr
    notice = done.stdout.index("Its state has version 0")
    assert "the next sync reads and sends every row again" in done.stdout[notice:]
    assert notice < done.stdout.index("uploading package")


@pytest.mark.parametrize("version", [0, 99])
def test_yes_does_not_confirm_that_every_row_is_sent_again(
    deploy: Deploy, fivetran: FakeFivetran, version: int
) -> None:
    fivetran.states[fivetran.add_connection("courier")] = {"version": version, "streams": {}}
    done = deploy(YES="1")
    assert done.returncode != 0
    assert "Nothing was deployed: RESYNC=1 confirms that every row is sent again." in done.stderr
    assert fivetran.mutations() == []


@pytest.mark.parametrize("version", [1, STATE_VERSION, 99])
def test_a_state_of_another_account_is_not_deployed_over(
    deploy: Deploy, fivetran: FakeFivetran, version: int
) -> None:
    fivetran.states[fivetran.add_connection("courier")] = {
        "version": version,
        "source": "api.eu.courier.com pk_prod",
    }
    done = deploy(YES="1", RESYNC="1")
    assert done.returncode != 0
    assert (
        "Nothing was deployed. The tables hold rows from 'api.eu.courier.com pk_prod', but the "
        "configuration points to 'api.courier.com pk_prod'" in done.stderr
    )
    assert fivetran.mutations() == []


@pytest.mark.parametrize("state", [{"last_sync": "2026-11-01"}, {"version": "2"}, ["a list"]])
def test_a_state_of_another_connector_is_not_deployed_over(
    deploy: Deploy, fivetran: FakeFivetran, state: Any
) -> None:
    fivetran.states[fivetran.add_connection("courier")] = state
    done = deploy(YES="1", RESYNC="1")
    assert done.returncode != 0
    assert "this connection's state was not written by this connector" in done.stderr
    assert fivetran.mutations() == []


def test_a_rollback_can_be_rehearsed_as_the_document_says(
    deploy: Deploy, fivetran: FakeFivetran
) -> None:
    """Deploys an older version over a newer state, each time from the same checkout."""

    def patch(path: str, change: dict[str, Any]) -> None:
        request = urllib.request.Request(
            f"{fivetran.url}/v1/connections/conn_1{path}",
            json.dumps(change).encode(),
            {"Authorization": f"Basic {FIVETRAN_KEY}"},
            method="PATCH",
        )
        with urllib.request.urlopen(request) as answer:
            assert answer.status == 200

    first = [("POST", "/v1/connector-sdk/packages"), ("POST", "/v1/connectors")]
    again = [("POST", "/v1/connector-sdk/packages"), ("PATCH", "/v1/connectors/conn_1")]
    assert deploy().returncode == 0
    assert fivetran.mutations() == first
    patch("/state", {"state": {"version": 99}})
    assert "RESYNC=1 confirms that every row is sent again." in deploy(YES="1").stderr
    patch("", {"paused": True})
    fivetran.calls.clear()
    done = deploy(YES="1", RESYNC="1")
    assert done.returncode == 0, done.stdout + done.stderr
    notice = done.stdout.index("A newer version of the connector saved its state (version 99")
    assert "every sync fails until you re-sync the connection" in done.stdout[notice:]
    assert notice < done.stdout.index("uploading package")
    assert fivetran.mutations() == again
    patch("/state", {"state": {}})
    patch("", {"paused": False})
    fivetran.calls.clear()
    assert deploy(YES="1").returncode == 0
    assert fivetran.mutations() == again


def test_the_fake_can_be_started_and_deployed_to_as_it_says(folder: Path, tmp_path: Path) -> None:
    home = tmp_path / "rehearsal"
    (folder / "options.toml").write_text(
        '[staging]\ndestination = "Lake"\nconnection = "courier"\n'
    )
    (folder / "configuration.staging.json").write_text(json.dumps(CONFIGURATION))
    command = [sys.executable, "-m", "tests.support.fake_fivetran", "--home", str(home)]
    command += ["--destination", "Lake", "--destination", "Pond"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as fake:
        assert fake.stdout is not None
        said = list(takewhile(lambda line: "Calls that change" not in line, fake.stdout))
        exports = dict(re.findall(r"(\w+)=(\S+)", "".join(said)))
        assert exports.keys() == {"HOME", "FIVETRAN_API_KEY", "PROFILE"}
        assert "Its destinations: Lake, Pond." in "".join(said)
        deployed = subprocess.run(
            [sys.executable, "-m", "tools.deploy"],
            cwd=folder,
            env=hermetic_environment(home) | exports | {"NEW": "1"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        fake.send_signal(signal.SIGINT)
        changes = fake.stdout.read()
    assert deployed.returncode == 0, deployed.stdout + deployed.stderr
    assert changes == "POST /v1/connector-sdk/packages\nPOST /v1/connectors\n"
    assert "Traceback" not in changes


@pytest.mark.timeout(300)  # installs packages
@one_deploy
def test_the_uploaded_archive_syncs_in_an_environment_of_its_own_pins(
    first: Deployed, tmp_path: Path
) -> None:
    unpacked = tmp_path / "unpacked"
    package = io.BytesIO(first.fivetran.packages[first.config["package_id"]])
    with zipfile.ZipFile(package) as archive:
        archive.extractall(unpacked)
    environment = clean_python(tmp_path / "clean", unpacked / "requirements.txt")
    with FakeCourierProcess(sizes={"message": 120}) as courier:
        configuration = {"api_key": courier.key, "base_url": courier.url}
        (unpacked / "configuration.json").write_text(json.dumps(configuration))
        command = ["fivetran", "debug", "--configuration", "configuration.json"]
        synced = subprocess.run(
            command, cwd=unpacked, env=environment, capture_output=True, text=True, check=False
        )
        assert synced.returncode == 0, synced.stdout + synced.stderr
        wanted = {
            stream.table: {record[stream.key[0]] for record in courier.truth(stream.table)}
            for stream in STREAMS
        }
    with duckdb.connect(str(unpacked / "files" / "warehouse.db"), read_only=True) as warehouse:
        landed = {
            stream.table: {
                row[0]
                for row in warehouse.execute(
                    f'SELECT "{stream.key_columns[0]}" FROM tester."{stream.table}"'
                ).fetchall()
            }
            for stream in STREAMS
        }
    assert landed == wanted


ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b"


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        (b"", "the connection was closed before the whole response had arrived"),
        (ANSWER % (99, b"{"), "the connection was closed before the whole response had arrived"),
        (b"SSH-2.0-OpenSSH_9\r\n\r\n", "the response is not from Fivetran"),
        (ANSWER % (1, b"{"), "the response is not from Fivetran"),
        (ANSWER % (2, b"{}"), "the response is not from Fivetran"),
        (ANSWER % (2, b"[]"), "the response is not from Fivetran"),
        (ANSWER % (4, b"null"), "the response is not from Fivetran"),
    ],
)
def test_an_answer_that_is_cut_or_from_another_server_is_an_error_that_says_so(
    monkeypatch: pytest.MonkeyPatch, answer: bytes, cause: str
) -> None:
    class Handler(StreamRequestHandler):
        def handle(self) -> None:
            while self.rfile.readline().strip():
                pass
            self.wfile.write(answer)

    with TCPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.handle_request).start()
        url = f"http://127.0.0.1:{server.server_address[1]}"
        monkeypatch.setattr("tools.fivetran_api.fivetran_url", lambda: url)
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        with pytest.raises(FivetranRefused) as refused:
            connection_names(FIVETRAN_KEY, "Warehouse")
    assert f"Fivetran's API at {url} cannot be reached: {cause}." in str(refused.value)
