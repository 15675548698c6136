"""What llactr adds to a Feast repository of your own, by one line in any of its Python files:

```python
from llactr.feature_repo.views import *
```

`feast apply` there then registers llactr's views (field vectors, releases, history) beside yours, and leaves them where
they are. They are those of the workspace `$LLACTR_WORKSPACE`, else of `.llactr` in the repository's folder, else of
`.llactr` beside it; a workspace holds a dataset from `llactr ingest` on.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from click import ClickException

from llactr.errors import LlactrError, NotReadyError
from llactr.workspace import WORKSPACE_VARIABLE, Workspace

if TYPE_CHECKING:
    from llactr.store.definitions import FeastObject

__all__: list[str]


def _workspace(repository: Path) -> Workspace:
    chosen = os.environ.get(WORKSPACE_VARIABLE)
    if chosen:
        return Workspace.at(repository / Path(chosen).expanduser())
    places = [repository / ".llactr", repository.parent / ".llactr"]
    for place in places:
        if Workspace(place).datasets():
            return Workspace(place)
    raise NotReadyError(
        f"llactr's views are asked for, and neither {places[0]} nor {places[1]} holds a dataset: run 'llactr ingest' "
        f"first, or set {WORKSPACE_VARIABLE} to the workspace"
    )


def _views() -> dict[str, FeastObject]:
    """Feast collects the attributes of a module: one for each object."""
    from llactr.store import prepare
    from llactr.store.definitions import definitions

    workspace = _workspace(Path.cwd())  # `feast apply` works from the repository's folder
    objects = definitions(workspace)
    prepare(workspace)
    return {f"llactr_{type(thing).__name__}_{thing.name}": thing for thing in objects}


def __getattr__(name: str) -> Any:
    """The views are made when they are first asked for, which importing this module alone does not."""
    if name != "__all__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        made = _views()
    except LlactrError as error:
        ClickException.exit_code = error.exit_code  # feast's process ends with this error
        raise ClickException(str(error)) from None
    globals().update(made)
    globals()["__all__"] = names = list(made)
    return names
