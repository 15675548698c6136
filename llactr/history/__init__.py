"""What a person did before, and what became of an item before: the state of a key, and features of (state, candidate).

**Which past event counts.** An event is (user, item, time, outcome 0 or 1); it is *known* from `time + outcome_delay`
on. It counts for a moment `now` when its known time lies strictly before `now`. So events of one time never see each
other, and with a delay of 0 "before" is simply `time < now`.

- *Repeated*: an event with the user, item and time of another one is the same event, whatever its outcome; the first
  one counts. Offline that is the first in the order of events; online, the first that arrives, recognised as long as
  it is among the user's last N or pending events.
- *Late*: an event that arrives after newer ones of its key is added to the sums and put at its place in the list. A
  state is a sum over a set of events, so the order of arrival changes nothing but the last digits. What was served
  before it came is not revised, nor are the residuals of events that were counted before.
- *Residual*: an event's outcome minus the item's smoothed rate at the event's time, by the item's events that count
  for that moment. Items come first, then users.

**State of a key** (`KeyStates`: K keys as arrays with K in front):

- windows: impressions and clicks, of all time, of the last seconds in tiles, or decaying with a half-life;
- users only: the last N events (item, time, residual), and per source of item vectors a `taste`: the posterior of a
  Bayesian linear regression of residuals on item vectors (mean and packed covariance, a rank-one update per event).

`KeyState` is one key's state as the online store keeps it: `KeyStates` with K = 1 that holds what is folded in, and a
list of *pending* events, which are not known yet at the newest time that was pushed. `to_bytes` and `from_bytes` are
its compact, versioned encoding (little-endian, no padding; about 2 KB a user by default, 20 bytes a pending event).

**The one function.** `features(definition, users, items, vectors, now)` gives the history fields of R rows from the
states *as of* `now`; training calls it through `history_rows` (or over snapshots), serving through `KeyState.at`. The
states are pure inputs: nothing is changed.

Serving a request of one user and C candidates, and pushing what happened:

```python
definition = HistoryDefinition.load(folder)                            # comes with the bundle
user = KeyState.from_bytes(definition, definition.user, blob)          # or KeyState.empty(definition, ...)
items = [KeyState.from_bytes(definition, definition.item, b) for b in ...]  # empty for an item without events
x = features(
    definition, user.at(now), KeyStates.stack([i.at(now) for i in items]), key_hashes(item_keys), now
)                                                                      # C x H float32, NaN: nothing to say

pushed = push(definition, user, item, Event(user_hash, item_hash, time_us, outcome))
pushed.counted                                                  # False for a repeated event: nothing to write
pushed.user.to_bytes(), pushed.item.to_bytes()                  # both states are to be written together
```

Training, and an empty online store:

```python
x = history_rows(definition, Events.of(users, items, times, outcomes))          # N x H, in the events' order
for table in snapshots(definition, events, owner="user"): ...   # key, first moment, state bytes; joined with `<=`
for key, state in newest_states(definition, events, owner="user"): ...  # what pushing them all would have left
```

Rows of a store, and of a check without one:

```python
x = request_history(definition, read, users=user_keys, items=item_keys, now=times)    # read: a `ReadStates`
y = request_history(definition, states_of_events(definition, events), users=..., ...)   # the same to the bit
```

Keys travel as 64-bit hashes of their text (`key_hashes`), times as microseconds since 1970 in UTC (int64), outcomes
and residuals, sums and posteriors as float32; an update computes in float64 and rounds once per event, offline and
online alike, so that both sides hold the same bits.
"""

from llactr.history.categories import ItemCategories
from llactr.history.definition import HistoryDefinition
from llactr.history.events import Event, Events, key_hashes
from llactr.history.features import features
from llactr.history.fitting import FittedHistory, ItemSources, fit_history, placed
from llactr.history.layout import StateLayout
from llactr.history.neighbours import Neighbours
from llactr.history.newer import NEWER_ITEMS, NewerItems
from llactr.history.online import KeyState, Pushed, push, states_from_bytes
from llactr.history.passes import history_rows, past_counts, with_neighbours
from llactr.history.requests import ReadStates, request_history, states_of_events
from llactr.history.snapshots import newest_states, snapshots
from llactr.history.states import KeyStates
from llactr.history.vectors import (
    ItemForm,
    ItemVectors,
    both,
    category_vectors,
    columns_of,
    fit_item_vectors,
    multi_hot,
)

__all__ = [
    "NEWER_ITEMS",
    "Event",
    "Events",
    "FittedHistory",
    "HistoryDefinition",
    "ItemCategories",
    "ItemForm",
    "ItemSources",
    "ItemVectors",
    "KeyState",
    "KeyStates",
    "Neighbours",
    "NewerItems",
    "Pushed",
    "ReadStates",
    "StateLayout",
    "both",
    "category_vectors",
    "columns_of",
    "features",
    "fit_history",
    "fit_item_vectors",
    "history_rows",
    "key_hashes",
    "multi_hot",
    "newest_states",
    "past_counts",
    "placed",
    "push",
    "request_history",
    "snapshots",
    "states_from_bytes",
    "states_of_events",
    "with_neighbours",
]
