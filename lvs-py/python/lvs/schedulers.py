"""Schedulers of one's own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from lvs._lvs import Candidate, NewFlow

__all__ = ["Scheduler"]


class Scheduler(ABC):
    """What chooses the server of a new flow. Hand an object of a subclass to Director.add_service.

    Only pick is needed; a subclass may also define any of these methods, which the director calls when they are there:

    - start(servers, now): takes up a service; no earlier choice counts. What it raises refuses the service.
    - added(servers): a server was added, at position 0.
    - removed(position, servers): the server that was at this position has left.
    - edited(position, servers): the server at this position was edited.
    - next_tick() -> float | None: when tick is to be called next, in seconds.
    - tick(now): time passed.
    - fork() -> object: a copy that answers the same, for explain. Without it copy.deepcopy makes one.

    The attribute name is what rules and listings call it, one word of up to 15 letters: that of the class in small
    letters unless it is given. The attribute weights says what a slow start may do: "shares", "limits" or "fixed".

    A scheduler must not call the director that is asking it (RuntimeError). What it raises is raised by the call that
    brought the packet; until that call is over it is asked nothing more, and packets that open flows find nobody.
    """

    @abstractmethod
    def pick(self, flow: NewFlow, servers: Sequence[Candidate]) -> Candidate | int | None:
        """Return the server of a new flow: one of servers, its position, or None if none can take it.

        servers are all of the service in list order, the newest first, those included that have no weight or are
        overloaded: Candidate.eligible says whether one may get flows.
        """


Scheduler.__module__ = "lvs"
