"""What `feast apply` registers: entities, views and services of every dataset in the workspace.

They are made from the dataset specs by `llactr.store`; nothing is declared by hand here.
"""

from __future__ import annotations

from pathlib import Path

from click import ClickException

from llactr.errors import LlactrError
from llactr.store import prepare, repository_workspace
from llactr.store.definitions import definitions

try:
    _workspace = repository_workspace(Path(__file__).resolve().parent)
    # Feast collects a module's attributes, not the items of a list.
    globals().update({f"{type(thing).__name__}_{thing.name}": thing for thing in definitions(_workspace)})
    prepare(_workspace)
except LlactrError as error:
    ClickException.exit_code = error.exit_code  # feast's process ends with this error
    raise ClickException(str(error)) from None
