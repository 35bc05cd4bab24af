"""How much of each limit is used now: of a wallet, and of all wallets of a kind together."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from apps.trading import gate, gate_queries, queries
from apps.trading.models import Wallet
from apps.trading.risk import Limits, Usage
from apps.trading.valuation import equity_lamports

Unit = Literal["lamports", "count", "bps"]


@dataclass(frozen=True, slots=True)
class Used:
    """A limit with its use, both in its unit."""

    limit: str
    unit: Unit
    used: int
    most: int

    @property
    def ratio(self) -> float:
        """The used share, 0 to 1; a limit of 0 is used up."""
        return min(1.0, max(0.0, self.used / self.most)) if self.most else 1.0


@dataclass(frozen=True, slots=True)
class RiskState:
    """What holds of a wallet, or of all of a kind (`name`), and how far each of its limits is used."""

    name: str
    kind: str
    trading_enabled: bool
    transfer_enabled: bool
    is_cooling_down: bool
    limits: list[Used]


def wallet_state(wallet: Wallet, at: datetime) -> RiskState:
    """The limits of a wallet."""
    invested, open_positions = queries.invested_lamports(wallet)
    usage = Usage(
        invested_in_coin_lamports=max(invested.values(), default=0),
        open_positions=open_positions,
        exposure_lamports=sum(invested.values()),
        consecutive_losses=wallet.consecutive_losses,
        is_cooling_down=gate.is_cooling_down(wallet, at),
        equity_lamports=equity_lamports(wallet, at),
        day_start_equity_lamports=wallet.day_start_equity_lamports or 0,
        peak_equity_lamports=wallet.peak_equity_lamports or 0,
    )
    used = used_of(gate.wallet_limits(wallet), usage)
    switches = wallet.trading_enabled, wallet.transfer_enabled
    return RiskState(wallet.alias, wallet.wallet_type, *switches, usage.is_cooling_down, used)


def state_of_all(kind: str, at: datetime) -> RiskState:
    """The limits of all wallets of a kind together."""
    row = gate_queries.limits_of(kind)
    scope = gate.everyone_scope(row, "", None, at, keep_peak=False)
    used = [one for one in used_of(scope.limits, scope.usage) if one.limit != "max_position_lamports"]
    return RiskState("", kind, row.trading_enabled, row.transfer_enabled, scope.usage.is_cooling_down, used)


def used_of(limits: Limits, usage: Usage) -> list[Used]:
    """Those limits that are set and can be told without a coin, with their use."""
    lost = _fallen_bps(usage.equity_lamports, usage.day_start_equity_lamports)
    fallen = _fallen_bps(usage.equity_lamports, usage.peak_equity_lamports)
    rows: list[tuple[str, Unit, int, int | None]] = [
        ("max_position_lamports", "lamports", usage.invested_in_coin_lamports, limits.max_position_lamports),
        ("max_open_positions", "count", usage.open_positions, limits.max_open_positions),
        ("max_exposure_lamports", "lamports", usage.exposure_lamports, limits.max_exposure_lamports),
        ("max_daily_loss_bps", "bps", lost, limits.max_daily_loss_bps),
        ("max_drawdown_bps", "bps", fallen, limits.max_drawdown_bps),
        ("max_consecutive_losses", "count", usage.consecutive_losses, limits.max_consecutive_losses),
    ]
    return [Used(name, unit, used, most) for name, unit, used, most in rows if most is not None]


def _fallen_bps(equity: int, from_lamports: int) -> int:
    """How far the equity lies below what it was, in basis points; 0 where it does not."""
    return max(0, (from_lamports - equity) * 10_000 // from_lamports) if from_lamports > 0 else 0
