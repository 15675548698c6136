"""Every error that llactr raises on purpose.

```
LlactrError                what went wrong and what to do next, in one sentence
├── InputError             the caller's input is at fault              -> exit code 2, HTTP 4xx
│   ├── SpecError          a dataset spec cannot be read or contradicts itself
│   ├── DataError          a table is missing, truncated, or does not fit its spec
│   ├── ModelError         a model name cannot be resolved, a model folder is unusable
│   ├── BundleError        a bundle is corrupt or does not fit the workspace
│   └── NotReadyError      an earlier step has not been run
└── StepError              the step itself failed                      -> exit code 1, HTTP 5xx
    ├── StoreError         a store refused or did not answer
    └── ConsistencyError   online and offline disagree
```
"""

from __future__ import annotations

__all__ = [
    "BundleError",
    "ConsistencyError",
    "DataError",
    "InputError",
    "LlactrError",
    "ModelError",
    "NotReadyError",
    "SpecError",
    "StepError",
    "StoreError",
]


class LlactrError(Exception):
    """Base of all errors raised on purpose; its text says what was found, what was expected and what to do.

    >>> import llactr
    >>> try:
    ...     llactr.open("shop").train(dataset="books")
    ... except llactr.LlactrError as error:
    ...     print(type(error).__name__, error.exit_code)
    InputError 2
    """

    exit_code = 1


class InputError(LlactrError):
    """The input is at fault; nothing was written."""

    exit_code = 2


class SpecError(InputError):
    """A dataset spec cannot be read, or contradicts itself or its tables."""


class DataError(InputError):
    """A table is missing, truncated, or does not fit its spec."""


class ModelError(InputError):
    """A language model's name cannot be resolved, or its folder is unusable."""


class BundleError(InputError):
    """A bundle is corrupt, or was made for another semantics version."""


class NotReadyError(InputError):
    """An earlier step has to be run first; the message names it."""


class StepError(LlactrError):
    """The step failed although its input was fine."""


class StoreError(StepError):
    """The feature store refused, or did not answer."""


class ConsistencyError(StepError):
    """The online and the offline path gave different ids or scores."""
