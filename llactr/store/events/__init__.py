"""Events that come in while a model is served: a durable log, the states that follow it, and its way offline.

An event is written to the log (`log`), then its user's and its item's states are updated in one transaction together
with the log's position up to which they are (`base`, `sqlite`, `redis`), then it is acknowledged. So a process that
dies at any moment leaves states and position that agree, and whoever comes next applies the rest of the log: each event
once. `pusher` does both; `filling` brings states online from the offline store; `offline` takes logged events into the
dataset's own.
"""

from typing import TYPE_CHECKING

from llactr.lazy import loader

if TYPE_CHECKING:
    from llactr.store.events.base import StateStore
    from llactr.store.events.choice import state_store
    from llactr.store.events.log import EventLog, LoggedEvent
    from llactr.store.events.pusher import Pusher

__all__ = ["EventLog", "LoggedEvent", "Pusher", "StateStore", "state_store"]

__getattr__ = loader(
    __name__,
    {"EventLog": "log", "LoggedEvent": "log", "Pusher": "pusher", "StateStore": "base", "state_store": "choice"},
)
