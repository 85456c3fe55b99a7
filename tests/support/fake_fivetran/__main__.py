"""`make fake-fivetran`: a fake of Fivetran's API to rehearse deploys against, until Ctrl-C."""

import argparse
import base64
import contextlib
import threading
from pathlib import Path

from tests.support.fake_fivetran import GROUPS, fake_fivetran, use_fake_fivetran
from tests.support.hermetic import hermetic_environment
from tools.stage import ROOT

API_KEY = base64.b64encode(b"rehearsal:secret").decode()
HOME = ROOT / "build" / "rehearsal"


def main() -> None:
    """Serve; print how to deploy to it, and then each call that changes something."""
    parser = argparse.ArgumentParser(prog="python -m tests.support.fake_fivetran")
    parser.add_argument("--home", type=Path, default=HOME, help="of the SDK while you rehearse")
    home: Path = parser.parse_args().home
    hermetic_environment(home)
    with fake_fivetran(API_KEY, on_change=lambda call: print(*call, flush=True)) as fake:
        use_fake_fivetran(home, fake.url)
        print(
            f"A fake of Fivetran's API listens at {fake.url}. It keeps nothing.\n"
            f"Its destinations: {', '.join(GROUPS.values())}. In another terminal:\n\n"
            f"  export HOME={home} FIVETRAN_API_KEY={API_KEY}\n"
            "  export FIVETRAN_DESTINATION_NAME=Staging FIVETRAN_CONNECTION_NAME=courier\n"
            "  make deploy\n\n"
            "Ctrl-C stops it. Calls that change something:",
            flush=True,
        )
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()


if __name__ == "__main__":
    main()
