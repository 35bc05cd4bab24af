"""Why a strategy can never trade as things are set: one warning a reason. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from apps.trading.risk import Limits


class Never(StrEnum):
    """Why no alert can become a trade."""

    STRATEGY_PAUSED = "STRATEGY_PAUSED"
    TRADING_NOT_ACTIVE = "TRADING_NOT_ACTIVE"
    REAL_TRADING_LOCKED = "REAL_TRADING_LOCKED"
    WALLET_NOT_ACTIVE = "WALLET_NOT_ACTIVE"
    TRADING_DISABLED = "TRADING_DISABLED"
    GLOBAL_TRADING_DISABLED = "GLOBAL_TRADING_DISABLED"
    NO_POSITION_ALLOWED = "NO_POSITION_ALLOWED"
    STAKE_ABOVE_LIMIT = "STAKE_ABOVE_LIMIT"
    STAKE_ABOVE_GLOBAL_LIMIT = "STAKE_ABOVE_GLOBAL_LIMIT"
    STAKE_ABOVE_CAP = "STAKE_ABOVE_CAP"
    STAKE_ABOVE_EQUITY = "STAKE_ABOVE_EQUITY"
    SIZING_ZERO = "SIZING_ZERO"
    LOSSES_REACHED = "LOSSES_REACHED"
    GLOBAL_LOSSES_REACHED = "GLOBAL_LOSSES_REACHED"
    CONDITIONS_EXCLUDE = "CONDITIONS_EXCLUDE"
    MODELS_AT_REST = "MODELS_AT_REST"
    MODELS_NOT_CALIBRATED = "MODELS_NOT_CALIBRATED"
    NO_ALERT = "NO_ALERT"
    THRESHOLD_ABOVE_ALERTS = "THRESHOLD_ABOVE_ALERTS"


@dataclass(frozen=True, slots=True)
class Setting:
    """How a strategy, its wallet and the world are set. `stake_lamports` None: the sizing decides each time.

    `most_stake_lamports`: of the surest recent alert. `models_at_work`: how many of its models score, `models_usable`:
    and give what its sizing needs. `alerts`, `best_probability`: of their recent alerts.
    """

    is_active: bool
    trading_state: str
    is_unlocked: bool
    wallet_is_active: bool
    trading_enabled: bool
    all_trading_enabled: bool
    stake_lamports: int | None
    most_stake_lamports: int
    needed_lamports: int
    equity_lamports: int
    limits: Limits
    limits_of_all: Limits
    least_cap_lamports: int | None
    losses_reached: bool
    losses_reached_by_all: bool
    conditions_exclude: bool
    models_at_work: int
    models_usable: int
    alerts: int
    best_probability: float | None
    min_probability: float


def warnings_of(setting: Setting) -> list[Never]:
    """Every reason why nothing can be traded, the switches first."""
    found = {
        Never.STRATEGY_PAUSED: not setting.is_active,
        Never.TRADING_NOT_ACTIVE: setting.trading_state != "ACTIVE",
        Never.REAL_TRADING_LOCKED: not setting.is_unlocked,
        Never.WALLET_NOT_ACTIVE: not setting.wallet_is_active,
        Never.TRADING_DISABLED: not setting.trading_enabled,
        Never.GLOBAL_TRADING_DISABLED: not setting.all_trading_enabled,
        **_of_money(setting),
        Never.LOSSES_REACHED: setting.losses_reached,
        Never.GLOBAL_LOSSES_REACHED: setting.losses_reached_by_all,
        Never.CONDITIONS_EXCLUDE: setting.conditions_exclude,
        **_of_alerts(setting),
    }
    return [code for code, holds in found.items() if holds]


def _of_money(setting: Setting) -> dict[Never, bool]:
    stake, cap = setting.stake_lamports, setting.least_cap_lamports
    found = {
        Never.NO_POSITION_ALLOWED: setting.limits.max_open_positions == 0 or setting.limits.max_position_lamports == 0
    }
    found[Never.SIZING_ZERO] = setting.most_stake_lamports <= 0
    if stake:
        found[Never.STAKE_ABOVE_LIMIT] = _too_large(stake, setting.limits)
        found[Never.STAKE_ABOVE_GLOBAL_LIMIT] = _too_large(stake, setting.limits_of_all)
        found[Never.STAKE_ABOVE_CAP] = cap is not None and setting.needed_lamports > cap
        found[Never.STAKE_ABOVE_EQUITY] = setting.needed_lamports > setting.equity_lamports
    return found


def _too_large(stake: int, limits: Limits) -> bool:
    """Whether a stake alone is more than a coin or all positions may hold."""
    given = [limit for limit in (limits.max_position_lamports, limits.max_exposure_lamports) if limit is not None]
    return any(stake > limit for limit in given)


def _of_alerts(setting: Setting) -> dict[Never, bool]:
    best = setting.best_probability
    return {
        Never.MODELS_AT_REST: setting.models_at_work == 0,
        Never.MODELS_NOT_CALIBRATED: 0 == setting.models_usable < setting.models_at_work,
        Never.NO_ALERT: setting.models_at_work > 0 and setting.alerts == 0,
        Never.THRESHOLD_ABOVE_ALERTS: best is not None and setting.min_probability > best,
    }
