"""Runs git in a checkout."""

import subprocess
from pathlib import Path


class GitFailed(Exception):
    """A sentence that says what git refused."""


def git(folder: Path, *arguments: str) -> str:
    """Returns what a git command prints. Raises GitFailed, also without git or a checkout."""
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=folder, capture_output=True, text=True, check=True
        )
    except FileNotFoundError:
        raise GitFailed("git is not installed.") from None
    except subprocess.CalledProcessError as error:
        raise GitFailed(f"git {arguments[0]} failed: {error.stderr.strip()}") from None
    return done.stdout.rstrip()


def changed_files(folder: Path, *paths: str) -> list[str]:
    """Lists files with uncommitted changes, below these paths or anywhere. Raises GitFailed."""
    return [line[3:] for line in git(folder, "status", "--porcelain", "--", *paths).splitlines()]
