"""Named things that select code: each is one file of a package of ours, or comes from an installed package.

A registry belongs to a package of this library, one file an entry, and to a group of entry points. What is in the
package and in the group is found when it is asked for, so nothing is listed by hand:

```python
BACKBONES: Registry[type[Backbone]] = Registry("backbone", package="llactr.ctr.backbones", group="llactr.backbones")

@BACKBONES.register("fm")
class FM(Backbone): ...
```

Another package offers entries of its own in its `pyproject.toml`:

```toml
[project.entry-points."llactr.backbones"]
crossnet = "acme_ctr:CrossNet"
```
"""

from __future__ import annotations

import difflib
import pkgutil
import warnings
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, TypeVar, overload

from llactr.errors import InputError, LlactrError

__all__ = ["Registry"]

Entry = TypeVar("Entry")
Given = TypeVar("Given")


class Registry(Generic[Entry]):
    """Name -> entry; iterating gives the names, and a name of ours is never another package's.

    The names are known without importing anything: module `x` of the package holds the entry `x`. Entries of a package
    whose files hold several, or none, are known once its modules are imported (`named_by_file=False`). Entry points are
    looked for when a name is not one of ours, and for a list.

    Args:
        noun: what an entry is called in messages.
        package: our package that holds the entries; the module `base` and names that begin with `_` are not entries.
        group: the group of entry points.
        named_by_file: whether a module's name is its entry's.
        order: in which names of ours are listed; those left out follow by name, then come those of other packages.
        error: what is raised for an unknown name.
        unknown: the message for one, with `{noun}`, `{name}` and `{names}`.
        check: what makes sure that another package's entry is of the right kind; raises TypeError with a clause.
    """

    def __init__(
        self,
        noun: str,
        *,
        package: str,
        group: str,
        named_by_file: bool = True,
        order: Sequence[str] = (),
        error: type[LlactrError] = InputError,
        unknown: str = "{noun} {name} is not known: choose one of {names}",
        check: Callable[[Any], None] = lambda entry: None,
    ) -> None:
        self._noun, self._package, self._group = noun, package, group
        self._named_by_file, self._order = named_by_file, tuple(order)
        self._error, self._unknown, self._check = error, unknown, check
        self._entries: dict[str, Entry] = {}
        self._own: tuple[str, ...] | None = None

    @overload
    def register(self, name: str) -> Callable[[Given], Given]: ...

    @overload
    def register(self, name: str, entry: Entry) -> Entry: ...

    def register(self, name: str, entry: Any = None) -> Any:
        """Puts an entry under a name; without the entry, a decorator that does so.

        Raises:
            InputError: the name is taken by another entry.
        """
        if entry is None:
            return lambda given: self.register(name, given)
        if self._entries.setdefault(name, entry) is not entry:
            raise InputError(f"there is a {self._noun} {name!r} already: give the other one another name")
        return entry

    def unknown(self, name: object) -> LlactrError:
        """The error for a name that is not there: it lists what is, and the name that was probably meant."""
        names = tuple(self)
        near = difflib.get_close_matches(str(name), names, 1)
        message = self._unknown.format(noun=self._noun, name=repr(name), names=", ".join(names))
        return self._error(f"{message}; did you mean {near[0]!r}?" if near else message)

    def working(self) -> Iterator[tuple[str, Entry]]:
        """Names and entries, ours first, loaded one by one; what another package broke is left out with a warning."""
        for name in self._ours():
            yield name, self[name]
        for name in self._foreign():
            try:
                entry = self[name]
            except LlactrError as error:
                warnings.warn(f"left out: {error}", RuntimeWarning, stacklevel=2)
                continue
            yield name, entry

    def __getitem__(self, name: str) -> Entry:
        """The entry of a name.

        Raises:
            LlactrError: there is none (the registry's own error), or an installed package offers one that does not
                load; the message names that package.
        """
        if name not in self._entries and name in self._ours() and self._named_by_file:
            import_module(f"{self._package}.{name}")
            if name not in self._entries:
                raise LlactrError(f"{self._package}.{name} registers no {self._noun} under its file's name {name!r}")
        if name not in self._entries:
            self._entries[name] = self._load(name)
        return self._entries[name]

    def __iter__(self) -> Iterator[str]:
        """All names: ours, then those of other packages."""
        yield from self._ours()
        yield from self._foreign()

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __contains__(self, name: object) -> bool:
        return name in self._ours() or name in self._foreign()

    def _ours(self) -> tuple[str, ...]:
        """The names of our package."""
        if self._own is None:
            modules = [module.name for module in pkgutil.iter_modules(import_module(self._package).__path__)]
            names = {name for name in modules if name != "base" and not name.startswith("_")}
            if not self._named_by_file:
                for module in sorted(names):
                    import_module(f"{self._package}.{module}")
                names = set(self._entries)
            rank = {name: place for place, name in enumerate(self._order)}
            self._own = tuple(sorted(names, key=lambda name: (rank.get(name, len(rank)), name)))
        return self._own

    def _foreign(self) -> tuple[str, ...]:
        """The names of other packages, loaded or not."""
        offered = {point.name for point in entry_points(group=self._group)} | self._entries.keys()
        return tuple(sorted(offered - set(self._ours())))

    def _load(self, name: str) -> Entry:
        offers = {point.value: point for point in entry_points(group=self._group) if point.name == name}
        if not offers:
            raise self.unknown(name)
        packages = sorted(_package(point) for point in offers.values())
        if len(offers) > 1:
            raise self._error(
                f"the {self._noun} {name!r} is offered by the packages {' and '.join(packages)}: uninstall all but one"
            )
        try:
            (point,) = offers.values()
            entry: Entry = point.load()
            self._check(entry)
        except Exception as error:  # another package's code fails in its own ways
            said = " ".join(str(error).split())[:200]
            raise self._error(
                f"the {self._noun} {name!r} of the installed package {packages[0]!r} cannot be loaded "
                f"({type(error).__name__}: {said}): mend that package, or uninstall it"
            ) from error
        return entry


def _package(point: EntryPoint) -> str:
    return point.dist.name if point.dist is not None else point.module.partition(".")[0]
