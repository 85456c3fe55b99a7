"""An environment in which the `fivetran` command is isolated from the outside world."""

import os
import sys
import time
from pathlib import Path


def hermetic_environment(home: Path) -> dict[str, str]:
    """Returns the variables for a `fivetran` command whose home is `home` (made if missing).

    Removes the machine's own FIVETRAN_* settings, and turns off telemetry, the version check and
    the look-up of imports on a package index, each of which contacts a host.
    """
    settings = home / ".fivetran" / "connector_sdk"
    settings.mkdir(parents=True, exist_ok=True)
    # The SDK checks for a newer version if this epoch second is more than six hours ago.
    (settings / "_last_version_check").write_text(str(int(time.time())))
    stubs = home / "bin"
    stubs.mkdir(exist_ok=True)
    # If pipreqs prints nothing, the SDK takes requirements.txt as it is.
    pipreqs = stubs / "pipreqs"
    pipreqs.write_text("#!/bin/sh\nexit 0\n")
    pipreqs.chmod(0o755)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FIVETRAN_")}
    path = [str(stubs), str(Path(sys.executable).parent), kept.get("PATH", os.defpath)]
    return kept | {"HOME": str(home), "PATH": os.pathsep.join(path), "DO_NOT_TRACK": "1"}
