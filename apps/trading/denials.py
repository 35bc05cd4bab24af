"""What to do about each denial of the risk gate, in a sentence: `DENIALS` has one for every code.

English for the API; pages translate it (`wording`).
"""

from django.utils.translation import gettext_noop as _

from apps.trading.risk import DenyCode

_OF_A_WALLET = {
    DenyCode.MAX_POSITION: _("The wallet's largest position would be exceeded: buy less or raise the limit."),
    DenyCode.MAX_OPEN_POSITIONS: _("The wallet holds as many coins as it may: sell one or raise the limit."),
    DenyCode.MAX_EXPOSURE: _("The wallet has as much in positions as it may: sell one or raise the limit."),
    DenyCode.MAX_RESERVES: _("The wallet's share of the SOL on this coin's curve would be too large: buy less."),
    DenyCode.CONSECUTIVE_LOSSES: _("The wallet has lost too often in a row: reset its counters or wait for a day."),
    DenyCode.COOLDOWN: _("The wallet cools down after losses: wait, or reset its counters."),
    DenyCode.DAILY_LOSS: _("The wallet has lost as much as it may today: raise the limit or wait for the next day."),
    DenyCode.DRAWDOWN: _("The wallet has fallen as far from its peak as it may: reset it or raise the limit."),
    DenyCode.COIN_LOSS: _("The wallet has lost as much with this coin as it may: raise the limit."),
    DenyCode.CREATOR_LOSS: _("The wallet has lost as much with this creator's coins as it may: raise the limit."),
    DenyCode.CAP_TRADE: _("The buy would cost more than the wallet's cap for one trade: buy less or raise the cap."),
    DenyCode.CAP_DAY: _("The wallet's cap for the buys of a day would be exceeded: wait for the next day."),
    DenyCode.CAP_TOTAL: _("The wallet's cap for all its buys would be exceeded: raise the cap."),
    DenyCode.INSUFFICIENT_BALANCE: _("The balance does not cover the amount, its costs and the safety buffer."),
}
_OF_ALL_WALLETS = {
    DenyCode.GLOBAL_MAX_POSITION: _("All wallets together would hold too much of this coin: see the limits of all."),
    DenyCode.GLOBAL_MAX_OPEN_POSITIONS: _("All wallets together have as many positions as they may: sell one."),
    DenyCode.GLOBAL_MAX_EXPOSURE: _("All wallets together have as much in positions as they may: sell one."),
    DenyCode.GLOBAL_MAX_RESERVES: _("All wallets' share of the SOL on this coin's curve would be too large: buy less."),
    DenyCode.GLOBAL_CONSECUTIVE_LOSSES: _("All wallets together have lost too often in a row: reset their counters."),
    DenyCode.GLOBAL_COOLDOWN: _("All wallets cool down after losses: wait, or reset the limits of all."),
    DenyCode.GLOBAL_DAILY_LOSS: _("All wallets together have lost as much as they may today: wait for the next day."),
    DenyCode.GLOBAL_DRAWDOWN: _("All wallets together have fallen as far from their peak as they may: reset it."),
    DenyCode.GLOBAL_COIN_LOSS: _("All wallets together have lost as much with this coin as they may."),
    DenyCode.GLOBAL_CREATOR_LOSS: _("All wallets together have lost as much with this creator's coins as they may."),
}
DENIALS = {
    DenyCode.TRADING_HALTED: _("Trading is halted: set it to ACTIVE first."),
    DenyCode.TRADING_REDUCING: _("Trading only leaves positions now: set it to ACTIVE to buy."),
    DenyCode.REAL_TRADING_LOCKED: _("Real trading of this wallet is locked: unlock it first, or use a test wallet."),
    DenyCode.WALLET_NOT_ACTIVE: _("The wallet is not active: set its status to ACTIVE."),
    DenyCode.TRADING_DISABLED: _("Trading is switched off for this wallet: switch it on."),
    DenyCode.GLOBAL_TRADING_DISABLED: _("Trading is switched off for all wallets of this kind: switch it on."),
    DenyCode.FEED_STALE: _("The feed is silent or behind: wait until the stream is connected and has caught up."),
    DenyCode.ALERT_TOO_OLD: _("The alert came too late to act on: the trader or the scorer was behind."),
    DenyCode.COIN_BLOCKED: _("The coin is on the block-list: take it off to buy it."),
    DenyCode.CREATOR_BLOCKED: _("The coin's creator is on the block-list: take the creator off to buy it."),
    DenyCode.COIN_UNKNOWN: _("No reserves of this coin are known: check the mint."),
    DenyCode.COIN_NONSTANDARD: _("The coin is not on the standard curve and cannot be priced here."),
    DenyCode.COIN_GRADUATED: _("The coin has left its curve and cannot be priced here."),
    DenyCode.CURVE_COMPLETE: _("The curve of this coin is sold out."),
    DenyCode.COIN_IN_GAP: _("Trades of this coin may have been missed: wait for its next trade."),
    DenyCode.COIN_STALE: _("The coin has not traded for minutes: choose another."),
    DenyCode.TRADE_REFUSED: _("The amount is too small or too large for the curve."),
    DenyCode.POSITION_OPEN: _("The wallet holds this coin already: a strategy enters each coin once at a time."),
    DenyCode.ORDER_IN_FLIGHT: _("A sale of this position is under way: wait for it."),
    DenyCode.NOTHING_TO_SELL: _("There is nothing to sell."),
    **_OF_A_WALLET,
    **_OF_ALL_WALLETS,
}
