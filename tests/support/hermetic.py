"""An environment in which the `fivetran` command reads and asks nothing of the outside world."""

import os
import sys
import time
from pathlib import Path


def hermetic_environment(home: Path) -> dict[str, str]:
    """Environment variables for a `fivetran` command whose home is `home` (made if missing).

    What a machine's owner set for Fivetran (FIVETRAN_*) is left out; telemetry, the version
    check and the look-up of imports on a package index, each of which asks a host, are off.
    """
    settings = home / ".fivetran" / "connector_sdk"
    settings.mkdir(parents=True, exist_ok=True)
    # The SDK asks for a newer version when this epoch second is more than six hours ago.
    (settings / "_last_version_check").write_text(str(int(time.time())))
    stubs = home / "bin"
    stubs.mkdir(exist_ok=True)
    # Without its output the SDK takes requirements.txt as it stands.
    pipreqs = stubs / "pipreqs"
    pipreqs.write_text("#!/bin/sh\nexit 0\n")
    pipreqs.chmod(0o755)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FIVETRAN_")}
    path = [str(stubs), str(Path(sys.executable).parent), kept.get("PATH", os.defpath)]
    return kept | {"HOME": str(home), "PATH": os.pathsep.join(path), "DO_NOT_TRACK": "1"}
