"""What holds for all wallets of a kind, as a backtest takes it along: their limits together and the block-list.

A backtest trades alone: what its own wallet does is all that uses the limits of all. Switches are not copied (a run is
switched on), nor is what others have lost or gained so far (a run begins anew).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from apps.trading import gate_queries
from apps.trading.gate_queries import Origin
from apps.trading.limits import OF_ALL
from apps.trading.models import Blocked, RiskLimits

LIMITS = tuple(sorted(OF_ALL - {"trading_enabled", "transfer_enabled"}))


@dataclass(frozen=True, slots=True)
class Together:
    """Limits of all wallets of a kind (0 is off), and the coins and creators that are never bought."""

    kind: str = "TEST"
    limits: Mapping[str, int] = field(default_factory=dict)
    mints: frozenset[str] = frozenset()
    creators: frozenset[str] = frozenset()

    def row(self) -> RiskLimits:
        """The limits as a row of no table, with nothing used."""
        return RiskLimits(scope=self.kind, **self.limits)

    def origin(self, mint: str, creator: str | None) -> Origin:
        """A coin's creator, and whether one of the two is blocked."""
        return Origin(creator, mint in self.mints, creator in self.creators)

    def as_json(self) -> dict[str, Any]:
        """For the copy that a stored run keeps."""
        return {"kind": self.kind, **self.limits, "mints": sorted(self.mints), "creators": sorted(self.creators)}


def together_now(kind: str) -> Together:
    """What holds for all wallets of a kind at this moment."""
    row = gate_queries.limits_of(kind)
    blocked = list(Blocked.objects.values_list("kind", "address"))
    return Together(
        kind=kind,
        limits={name: getattr(row, name) for name in LIMITS},
        mints=frozenset(address for what, address in blocked if what == Blocked.Kind.MINT),
        creators=frozenset(address for what, address in blocked if what == Blocked.Kind.CREATOR),
    )


def together_from(copied: Mapping[str, Any]) -> Together:
    """The copy of a stored run; one of a release that copied nothing has no limits."""
    limits = {name: copied[name] for name in LIMITS if name in copied}
    mints, creators = copied.get("mints", ()), copied.get("creators", ())
    return Together(copied.get("kind", "TEST"), limits, frozenset(mints), frozenset(creators))
