"""`make audit`: looks for known advisories against what ships and its dependencies.

Runs pip-audit, which asks PyPI. `pip-audit --strict` stops at the first package that it cannot
look up, and so hides advisories against others. This looks up every package, and passes only if
every lookup succeeds.
"""

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from tools.stage import ROOT

PIP_AUDIT = ROOT / ".venv-audit" / "bin" / "pip-audit"
REQUIREMENTS = ROOT / "requirements.txt"
PASSED: Final = 0
ADVISORY: Final = 1
LEFT_OUT: Final = 3
_LONGEST_SECONDS: Final = 600


class Verdict(NamedTuple):
    """status: PASSED, ADVISORY or LEFT_OUT, also the exit status. lines: what to print."""

    status: int
    lines: list[str]


def verdict(status: int, report: str, errors: str, *, pins: Sequence[str]) -> Verdict:
    """Returns the verdict on pip-audit's exit status, its JSON report and its stderr.

    pins: lines `name==version`, with names as on PyPI, each of which must have been looked up.
    """
    packages = _packages(report)
    if packages is None:
        last = next((line for line in reversed(errors.splitlines()) if line.strip()), "")
        why = f": {last.strip()}" if last else ""
        return Verdict(LEFT_OUT, [f"not checked: no report, status {status}{why}"])
    advisories = [_advisory(package, found) for package in packages for found in _found(package)]
    asked = {f"{_name(package)}=={package.get('version')}" for package in packages if _ok(package)}
    skipped = {_name(entry): entry.get("skip_reason") for entry in packages if not _ok(entry)}
    left_out = [f"not checked: {reason or name}" for name, reason in skipped.items()]
    left_out += [
        f"not checked: {pin} is not in the report"
        for pin in pins
        if pin not in asked and pin.partition("==")[0] not in skipped
    ]
    if status not in (0, 1) or (status == 1) != bool(advisories):
        left_out.append(f"not checked: pip-audit ended with status {status}")
    if advisories or left_out:
        return Verdict(ADVISORY if advisories else LEFT_OUT, advisories + left_out)
    return Verdict(PASSED, [f"passed: no known advisory against {len(asked)} packages"])


def _packages(report: str) -> list[dict[str, Any]] | None:
    """Returns the report's packages, or None if it is not a report."""
    try:
        packages = json.loads(report)["dependencies"]
    except (ValueError, TypeError, KeyError):
        return None
    is_list = isinstance(packages, list) and all(isinstance(entry, dict) for entry in packages)
    return packages if is_list else None


def _name(package: dict[str, Any]) -> str:
    """Returns the package's name, normalized as on PyPI (PEP 503)."""
    return re.sub(r"[-_.]+", "-", str(package.get("name"))).lower()


def _ok(package: dict[str, Any]) -> bool:
    """Whether it was looked up."""
    return isinstance(package.get("vulns"), list)


def _found(package: dict[str, Any]) -> list[dict[str, Any]]:
    return list(package["vulns"]) if _ok(package) else []


def _advisory(package: dict[str, Any], found: dict[str, Any]) -> str:
    names = ", ".join([found["id"], *found.get("aliases", [])])
    fixed = ", ".join(found.get("fix_versions", [])) or "no version yet"
    return f"{_name(package)} {package.get('version')}: {names}; fixed in {fixed}"


def audit() -> Verdict:
    """Returns the verdict on requirements.txt."""
    command = [str(PIP_AUDIT), "--requirement", str(REQUIREMENTS), "--format", "json"]
    try:
        done = subprocess.run(
            [*command, "--progress-spinner", "off"],
            capture_output=True,
            text=True,
            check=False,
            timeout=_LONGEST_SECONDS,
        )
    except FileNotFoundError:
        return Verdict(LEFT_OUT, ["not checked: pip-audit is not installed"])
    except subprocess.TimeoutExpired:
        return Verdict(LEFT_OUT, [f"not checked: no report within {_LONGEST_SECONDS} s"])
    pins = REQUIREMENTS.read_text().split()
    return verdict(done.returncode, done.stdout, done.stderr, pins=pins)


if __name__ == "__main__":
    status, lines = audit()
    print("\n".join(lines))
    sys.exit(status)
