"""`make fake-fivetran`: a fake of Fivetran's API to rehearse deploys against, until Ctrl-C."""

import argparse
import base64
import contextlib
import threading
from pathlib import Path

from tests.support.fake_fivetran import DESTINATIONS, fake_fivetran, use_fake_fivetran
from tests.support.hermetic import hermetic_environment
from tools.stage import ROOT

API_KEY = base64.b64encode(b"rehearsal:secret").decode()
HOME = ROOT / "build" / "rehearsal"
HELP = f"""\
A fake of Fivetran's API listens at {{url}}. It forgets everything when it stops.
Its destinations: {{names}}. In another terminal:

  export HOME={{home}} FIVETRAN_API_KEY={API_KEY}
  PROFILE=staging make deploy

The SDK reads its API address from HOME, so this HOME points it at the fake. In any other
terminal you deploy to Fivetran. PROFILE names a profile of options.toml in this folder.
Without a profile, set FIVETRAN_DESTINATION_NAME and FIVETRAN_CONNECTION_NAME, or let
'make deploy' ask for them.

Ctrl-C stops it. Calls that change something:"""


def main() -> None:
    """Serves; prints how to deploy to it, and then each call that changes something."""
    parser = argparse.ArgumentParser(prog="python -m tests.support.fake_fivetran")
    parser.add_argument(
        "--home", type=Path, default=HOME, help="the SDK's home during the rehearsal"
    )
    parser.add_argument(
        "--destination",
        action="append",
        metavar="NAME",
        help="replaces the two default destinations; repeatable",
    )
    arguments = parser.parse_args()
    home: Path = arguments.home
    destinations: list[str] = arguments.destination or list(DESTINATIONS)
    hermetic_environment(home)
    with fake_fivetran(
        API_KEY,
        destinations=destinations,
        on_change=lambda call: print(*call, flush=True),
    ) as fake:
        use_fake_fivetran(home, fake.url)
        print(HELP.format(url=fake.url, names=", ".join(destinations), home=home), flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()


if __name__ == "__main__":
    main()
