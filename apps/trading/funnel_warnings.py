"""What to do where a strategy can never trade as it is set: a sentence for every code.

English for the API; pages translate it.
"""

from django.utils.translation import gettext_noop as _

from apps.trading.funnel_rules import Never

WARNINGS = {
    Never.STRATEGY_PAUSED: _("The strategy is paused: switch it on."),
    Never.TRADING_NOT_ACTIVE: _("The kill switch is not ACTIVE: nothing is bought."),
    Never.REAL_TRADING_LOCKED: _("The wallet is real and locked: unlock it, or choose a test wallet."),
    Never.WALLET_NOT_ACTIVE: _("The wallet is not active: set its status to ACTIVE."),
    Never.TRADING_DISABLED: _("Trading is switched off for the wallet: switch it on."),
    Never.GLOBAL_TRADING_DISABLED: _("Trading is switched off for all wallets of this kind: switch it on."),
    Never.NO_POSITION_ALLOWED: _("The wallet may hold no position at all: raise its most open positions."),
    Never.STAKE_ABOVE_LIMIT: _("The stake is above the wallet's largest position or exposure: every buy is denied."),
    Never.STAKE_ABOVE_GLOBAL_LIMIT: _("The stake is above the largest position or exposure of all wallets together."),
    Never.STAKE_ABOVE_CAP: _("The stake with its costs is above a cap of the wallet, or what is left of it."),
    Never.STAKE_ABOVE_EQUITY: _("The wallet is not worth the stake, its costs and the safety buffer."),
    Never.SIZING_ZERO: _("The sizing makes no stake, not even of the surest recent alert: see its gain and loss."),
    Never.LOSSES_REACHED: _("A loss limit of the wallet is reached: it buys again when that is over or reset."),
    Never.GLOBAL_LOSSES_REACHED: _("A loss limit of all wallets together is reached: see Risk."),
    Never.CONDITIONS_EXCLUDE: _("The conditions exclude each other: no coin can ever fulfil them all."),
    Never.MODELS_AT_REST: _("None of the models whose alerts count is at work: activate one."),
    Never.MODELS_NOT_CALIBRATED: _("Kelly needs calibrated probabilities, and none of its models at work has them."),
    Never.NO_ALERT: _("No alert of these models lies in the time looked at."),
    Never.THRESHOLD_ABOVE_ALERTS: _("The least probability is above every recent alert of these models."),
}
