"""A worker process: `python -m llactr.serving.worker`, started by `workers` with its orders on standard input."""

from __future__ import annotations

import json
import sys

from llactr.errors import LlactrError
from llactr.serving.server import configure_logging, serve
from llactr.serving.workers import config_of, end_with_parent

__all__ = ["main"]


def main() -> int:
    """Serves; the exit code says whether the input was at fault."""
    configure_logging()
    config, listener, control = config_of(json.load(sys.stdin))
    end_with_parent(control.parent)
    try:
        serve(config, listener, control=control)
    except LlactrError as error:
        print(f"llactr: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
