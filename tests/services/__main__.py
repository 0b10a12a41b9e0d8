"""The team's back ends without containers, until Ctrl-C: `python -m tests.services DIRECTORY`.

Prints the lines that point a shell at them.
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path

from tests.services.stack import running


def main() -> None:
    with running(Path(sys.argv[1]).resolve()) as stack:
        for name, value in stack.environment().items():
            print(f"export {name}={value}", flush=True)
        print("# dvc remote add -d team s3://dvc-remote/poly-epo   (Ctrl-C here ends everything)", flush=True)
        signal.sigwait({signal.SIGINT, signal.SIGTERM})


if __name__ == "__main__":
    main()
