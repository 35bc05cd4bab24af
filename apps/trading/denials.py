"""What to do about each denial of the risk gate, in a sentence."""

from apps.trading.risk import DenyCode

DENIALS = {
    DenyCode.TRADING_HALTED: "Trading is halted: set it to ACTIVE first.",
    DenyCode.TRADING_REDUCING: "Trading only leaves positions now: set it to ACTIVE to buy.",
    DenyCode.REAL_TRADING_LOCKED: "Real trading of this wallet is locked: unlock it first, or use a test wallet.",
    DenyCode.WALLET_NOT_ACTIVE: "The wallet is not active: set its status to ACTIVE.",
    DenyCode.TRADING_DISABLED: "Trading is switched off for this wallet: switch it on.",
    DenyCode.FEED_STALE: "Nothing comes from the feed: wait until the stream is connected.",
    DenyCode.COIN_UNKNOWN: "No reserves of this coin are known: check the mint.",
    DenyCode.COIN_NONSTANDARD: "The coin is not on the standard curve and cannot be priced here.",
    DenyCode.COIN_GRADUATED: "The coin has left its curve and cannot be priced here.",
    DenyCode.CURVE_COMPLETE: "The curve of this coin is sold out.",
    DenyCode.COIN_IN_GAP: "Trades of this coin may have been missed: wait for its next trade.",
    DenyCode.COIN_STALE: "The coin has not traded for minutes: choose another.",
    DenyCode.TRADE_REFUSED: "The amount is too small or too large for the curve.",
    DenyCode.MAX_POSITION: "The wallet's largest position would be exceeded: buy less or raise the limit.",
    DenyCode.MAX_OPEN_POSITIONS: "The wallet holds as many coins as it may: sell one or raise the limit.",
    DenyCode.CONSECUTIVE_LOSSES: "The wallet has lost too often in a row: reset the counter or wait for the next day.",
    DenyCode.DAILY_LOSS: "The wallet has lost as much as it may today: raise the limit or wait for the next day.",
    DenyCode.INSUFFICIENT_BALANCE: "The balance does not cover the amount, its costs and the safety buffer.",
    DenyCode.ORDER_IN_FLIGHT: "A sale of this position is under way: wait for it.",
    DenyCode.NOTHING_TO_SELL: "There is nothing to sell.",
}
