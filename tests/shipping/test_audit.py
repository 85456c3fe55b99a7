"""How `make audit` reads pip-audit's reports, which were recorded from pip-audit 2.10.1."""

import re
from pathlib import Path

import pytest

from tools import audit as module
from tools.audit import ADVISORY, LEFT_OUT, PASSED, audit, verdict
from tools.stage import ROOT

PINS = ["aiohttp==3.14.5", "yarl==1.25.1"]
YARL = '{"name": "yarl", "version": "1.25.1", "vulns": []}'
CLEAN = (
    '{"dependencies": [{"name": "aiohttp", "version": "3.14.5", "vulns": []}, '
    f'{YARL}, {{"name": "typing-extensions", "version": "4.16.0", "vulns": []}}], "fixes": []}}\n'
)
# From a service of our own that reports one advisory.
VULNERABLE = (
    '{"dependencies": [{"name": "aiohttp", "version": "3.14.5", "vulns": [{"id": "PYSEC-2099-1", '
    '"fix_versions": ["3.99.1"], "aliases": ["CVE-2099-0001"], "description": "A made-up fault"}'
    f"]}}, {YARL}], "
    '"fixes": []}\n'
)
NOT_FOUND = "Dependency not found on PyPI and could not be audited: aiohttp (3.14.5)"
SKIPPED = (
    f'{{"dependencies": [{{"name": "aiohttp", "skip_reason": "{NOT_FOUND}"}}, {YARL}], '
    '"fixes": []}\n'
)
SKIPPED_AND_VULNERABLE = VULNERABLE.replace(
    YARL, '{"name": "yarl", "skip_reason": "Dependency not found on PyPI"}'
)
UNREACHABLE = (
    "Traceback (most recent call last):\n"
    '  File "requests/adapters.py", line 729, in send\n'
    "    raise ConnectionError(e, request=request)\n"
    "requests.exceptions.ConnectionError: HTTPSConnectionPool(host='pypi.org', port=443)\n"
)
NONE_KNOWN = "No known vulnerabilities found\n"


def test_a_report_of_every_package_without_an_advisory_has_passed() -> None:
    assert verdict(0, CLEAN, NONE_KNOWN, pins=PINS) == (
        PASSED,
        ["passed: no known advisory against 3 packages"],
    )


def test_an_advisory_fails_with_its_names_and_the_version_that_is_free_of_it() -> None:
    errors = "Found 1 known vulnerability in 1 package\n"
    assert verdict(1, VULNERABLE, errors, pins=PINS) == (
        ADVISORY,
        ["aiohttp 3.14.5: PYSEC-2099-1, CVE-2099-0001; fixed in 3.99.1"],
    )


def test_a_package_that_was_skipped_is_left_out_though_pip_audit_ends_well() -> None:
    assert verdict(0, SKIPPED, NONE_KNOWN, pins=PINS) == (LEFT_OUT, [f"not checked: {NOT_FOUND}"])


def test_an_advisory_beside_a_package_that_was_skipped_still_fails() -> None:
    status, lines = verdict(1, SKIPPED_AND_VULNERABLE, "", pins=PINS)
    assert status == ADVISORY
    assert lines[0].startswith("aiohttp 3.14.5: PYSEC-2099-1")
    assert "not checked: Dependency not found on PyPI" in lines


def test_a_source_that_cannot_be_reached_is_left_out_with_the_reason() -> None:
    assert verdict(1, "", UNREACHABLE, pins=PINS) == (
        LEFT_OUT,
        [
            "not checked: no report, status 1: requests.exceptions.ConnectionError: "
            "HTTPSConnectionPool(host='pypi.org', port=443)"
        ],
    )


GARBAGE = {
    "nothing": "",
    "half": CLEAN[:60],
    "no object": "[]",
    "no packages": "{}",
    "packages that are none": '{"dependencies": ["aiohttp"]}',
    "an empty report": '{"dependencies": [], "fixes": []}',
    "a package without a verdict": CLEAN.replace('"vulns": []', '"vulns": null'),
    "another version": CLEAN.replace("3.14.5", "3.14.4"),
    "one package of two": CLEAN.replace(f"{YARL}, ", ""),
}


@pytest.mark.parametrize("name", GARBAGE)
def test_what_is_no_whole_report_is_left_out_and_never_passed(name: str) -> None:
    status, lines = verdict(0, GARBAGE[name], "", pins=PINS)
    assert status == LEFT_OUT
    assert lines
    assert all(line.startswith("not checked: ") for line in lines)


@pytest.mark.parametrize("status", [1, 2, -9])
def test_a_clean_report_with_a_status_that_does_not_fit_is_left_out(status: int) -> None:
    assert verdict(status, CLEAN, "", pins=PINS) == (
        LEFT_OUT,
        [f"not checked: pip-audit ended with status {status}"],
    )


def test_an_advisory_fails_whatever_the_status() -> None:
    assert verdict(0, VULNERABLE, "", pins=PINS).status == ADVISORY


def test_without_pip_audit_it_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PIP_AUDIT", tmp_path / "pip-audit")
    assert audit() == (LEFT_OUT, ["not checked: pip-audit is not installed"])


def test_the_requirements_that_ship_are_what_is_audited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pins = module.REQUIREMENTS.read_text().split()
    entries = ", ".join(
        '{{"name": "{}", "version": "{}", "vulns": []}}'.format(*pin.split("==")) for pin in pins
    )
    stand_in = tmp_path / "pip-audit"
    stand_in.write_text(
        f'#!/bin/sh\necho "$@" > {tmp_path}/asked\necho \'{{"dependencies": [{entries}]}}\'\n'
    )
    stand_in.chmod(0o755)
    monkeypatch.setattr(module, "PIP_AUDIT", stand_in)
    assert audit() == (PASSED, [f"passed: no known advisory against {len(pins)} packages"])
    asked = (tmp_path / "asked").read_text()
    assert f"--requirement {ROOT / 'requirements.txt'} --format json" in asked


def test_pip_audit_is_pinned_and_kept_out_of_every_other_environment() -> None:
    tools = ROOT / "tools" / "audit-requirements.txt"
    assert re.fullmatch(r"pip-audit==[\d.]+\n", tools.read_text())
    for name in ("requirements.txt", "requirements-dev.txt"):
        assert "pip-audit" not in (ROOT / name).read_text()
