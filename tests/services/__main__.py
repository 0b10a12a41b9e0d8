"""All that docker/compose.yaml starts, without containers, on loopback, until Ctrl-C: `make services TEAM=DIRECTORY`.

    python -m tests.services DIRECTORY

Postgres, an S3 store, Prefect with the project's deployments and a worker, MLflow with logins, the dashboard: for the
project in the working directory; what the servers keep lies below DIRECTORY. It prints the lines that point a shell at
them.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from pathlib import Path

from flows.deployments import apply_deployments, start_worker
from tests.services.process import Server, clean_environment, free_ports, listens
from tests.services.stack import running


def main() -> None:
    directory, project = Path(sys.argv[1]).resolve(), Path.cwd()
    # SIGTERM ends everything as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with contextlib.suppress(KeyboardInterrupt), running(directory) as stack:
        os.environ.update(stack.environment())
        apply_deployments(project, stack.prefect.api_url)
        worker = start_worker(project, stack.prefect.api_url)
        port = free_ports(1)[0]
        dashboard = Server(
            [sys.executable, "-m", "components.dashboard", "--project", str(project), "--port", str(port)],
            log=directory / "dashboard.log",
            answers=lambda: listens(port),
            environment=clean_environment(**stack.environment()),
        ).start()
        try:
            for name, value in stack.environment().items():
                print(f"export {name}={value}", flush=True)
            print(f"# dashboard: http://127.0.0.1:{port}")
            print("# dvc remote add -d team s3://dvc-remote/poly-epo   (Ctrl-C here ends everything)", flush=True)
            threading.Event().wait()
        finally:
            dashboard.stop()
            worker.terminate()
            worker.wait()


if __name__ == "__main__":
    main()
