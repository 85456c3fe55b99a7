"""`make debug`: one local sync with configuration.json, by the real `fivetran debug`.

The tables land in files/warehouse.db of the project, and the next run goes on from there.
"""

import json
import subprocess
import sys
from pathlib import Path

from courier_async.settings import Settings
from tools.package import sdk_environment
from tools.stage import ROOT


def trouble_with(configuration: Path) -> str | None:
    """What keeps a sync from starting, in a sentence; None where nothing does."""
    try:
        settings = json.loads(configuration.read_text(encoding="utf-8-sig"))
        Settings.from_configuration(settings)
    except FileNotFoundError:
        return 'There is no such file. It holds {"api_key": "..."}, and other settings if need be.'
    except UnicodeDecodeError:
        return "It is not text in UTF-8."
    except json.JSONDecodeError as error:
        return f"It is not JSON (line {error.lineno}, column {error.colno})."
    except ValueError as error:
        return str(error)
    return None


def debug() -> int:
    """The status of `fivetran debug`; 1, and a sentence, before anything else is done."""
    configuration = ROOT / "configuration.json"
    trouble = trouble_with(configuration)
    if trouble:
        print(f"{configuration.name}: {trouble}")
        if "api_key" in trouble:
            print("Without a key, 'make demo' shows a sync.")
        return 1
    command = ["fivetran", "debug", str(ROOT), "--configuration", str(configuration)]
    with subprocess.Popen(command, env=sdk_environment()) as run:
        try:
            return run.wait()
        except KeyboardInterrupt:
            # The same Ctrl-C has reached the sync, which says its own last words.
            run.wait()
    print("Stopped. 'make debug' goes on from the last checkpoint; 'make reset' starts afresh.")
    return 130


if __name__ == "__main__":
    sys.exit(debug())
