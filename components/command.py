"""The shell of every component's own command line: one error line, a non-zero exit code, no traceback.

if __name__ == "__main__":
    run_command(main)
"""

from __future__ import annotations

import argparse
import gc
import logging
import sys
from collections.abc import Callable
from pathlib import Path

from components.errors import PolyEpoError

__all__ = ["EXIT_USER_ERROR", "component_parser", "run_command", "show_progress"]

EXIT_USER_ERROR = 2


def component_parser(description: str) -> argparse.ArgumentParser:
    """An argument parser with the option every component has: ``--params``."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--params", type=Path, default=Path("params.yaml"), help="parameters (default: params.yaml)")
    return parser


def run_command(main: Callable[[], None]) -> None:
    """Run ``main`` and exit: 0, or 2 with the error's one line on standard error; other faults keep their traceback."""
    show_progress()
    try:
        main()
    except PolyEpoError as error:
        sys.stderr.write(f"error: {error.line()}\n")
        sys.exit(EXIT_USER_ERROR)
    finally:
        # The interpreter's last garbage collection walks the millions of objects that torch, transformers and Great
        # Expectations brought: seconds of every stage, for memory that is about to be given back whole.
        gc.freeze()


def show_progress() -> None:
    """Progress of this project's own modules on standard error; libraries speak up from warnings on."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    for name in ("components", "__main__"):
        logging.getLogger(name).setLevel(logging.INFO)
