"""The registry's formulas as the catalogue knows them, so that pages say them in the reader's language.

Here and not in `features`, which is pure and has the formulas in English as programs read them; a test holds that every
formula is one of these. A formula with values is read back by its template (`apps.core.sentences`).
"""

from django.utils.translation import gettext_noop as _

FORMULAS = (
    _("%(name)s of the window"),
    _("price_close / price %(seconds)s s ago - 1; NaN if younger"),
    _("(highest - lowest) / lowest"),
    _("price_close / highest - 1"),
    _("sum of volume_sol"),
    _("sum of buys minus sells"),
    _("sum of num_buys + num_sells"),
    _("buy volume / volume; NaN without volume"),
    _("whale buys minus whale sells"),
    _("sum of dev_sold_amount"),
    _("sum of unique_wallets of its rows"),
    _("wallets / trades"),
    _("root of the summed squared changes of price_close"),
    _("bonding_curve_pct - that of %(seconds)s s ago"),
    _("%(name)s of the last %(seconds)s s against the %(before)s s before"),
    _("price_close / ath_price - 1"),
    _("as_of - time of the all-time high"),
    _("as_of - start of the coin"),
    _("seconds since the row before; NaN without one in 30 minutes"),
    _("phase of the coin"),
    _("sine of the UTC time"),
    _("cosine of the UTC time"),
    _("coins that the creator made before this one"),
    _("of the last 200 of them, those that had graduated when this one was created"),
    _("of the last 200 of them, those that had been traded and then silent for 30 minutes"),
    _("median age at which the creator had sold 80 % (20 coins before)"),
    _("median of the highest market cap until then (20 coins before)"),
    _("from the creator's coin before to this one"),
    _("coins created; NaN where none was seen in 30 minutes"),
    _("trades of all coins"),
    _("volume of all coins"),
    _("buy volume / volume of all coins"),
    _("volume_sol / volume of all coins"),
    _("USD a SOL, known a minute before; NaN if two days old"),
    _("sol_usd / that of %(seconds)s s ago - 1"),
)
