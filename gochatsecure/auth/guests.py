"""Names stay with who had them for a while after they have left, so that a short break loses nothing. No clock."""

from __future__ import annotations

from collections import OrderedDict


class KeptNames:
    """Whose a name is, by identity key, while it is kept. Times are seconds that only grow."""

    def __init__(self, grace: float) -> None:
        """`grace`: seconds for which a name is kept after its last session has left."""
        self._grace = grace
        self._kept: OrderedDict[str, tuple[str, float]] = OrderedDict()  # by name: key, until; the soonest first

    def keep(self, name: str, key: str, now: float) -> None:
        self._kept[name] = (key, now + self._grace)
        self._kept.move_to_end(name)

    def let_go(self, name: str, key: str) -> None:
        """It is kept for this one no more."""
        if self._kept.get(name, ("", 0.0))[0] == key:
            del self._kept[name]

    def keeper(self, name: str, now: float) -> str | None:
        """The key of the identity that the name is kept for, if any."""
        while self._kept and next(iter(self._kept.values()))[1] <= now:
            self._kept.popitem(last=False)
        return self._kept[name][0] if name in self._kept else None
