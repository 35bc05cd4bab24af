-- The books of wallets that are older than the ledger: one entry that says how each came to what it has.
INSERT INTO ledger_entries (
    wallet_id, kind, note, at, cash, reserved, curve, protocol_fee, creator_fee, venue_fee, network_fee, tip, rent,
    virtual_loss, deposits, outside, cash_after
)
SELECT id, 'OPENING', 'all that was before the ledger', at, cash, reserved, curve, protocol_fee, creator_fee, venue_fee,
       network_fee, tip, rent, virtual_loss, -deposited,
       deposited - cash - reserved - curve - protocol_fee - creator_fee - venue_fee - network_fee - tip - rent
       - virtual_loss, cash
FROM (
    SELECT w.id, coalesce(s.feed_at, now()) AS at, w.deposited_lamports AS deposited,
           CASE w.wallet_type WHEN 'REAL' THEN w.real_balance_lamports ELSE w.virtual_balance_lamports END AS cash,
           coalesce((SELECT sum(o.reserved_lamports) FROM orders o
                     WHERE o.wallet_id = w.id AND o.status IN ('SUBMITTED', 'UNKNOWN')), 0)::bigint AS reserved,
           coalesce(t.curve, 0)::bigint AS curve, coalesce(t.protocol_fee, 0)::bigint AS protocol_fee,
           coalesce(t.creator_fee, 0)::bigint AS creator_fee, coalesce(t.venue_fee, 0)::bigint AS venue_fee,
           (coalesce(t.network_fee, 0) + coalesce(x.fee, 0))::bigint AS network_fee, coalesce(t.tip, 0)::bigint AS tip,
           coalesce(t.rent, 0)::bigint AS rent, coalesce(t.virtual_loss, 0)::bigint AS virtual_loss
    FROM wallets w
    LEFT JOIN stream_state s ON s.id = 1
    LEFT JOIN LATERAL (
        SELECT sum(CASE action WHEN 'buy' THEN curve_lamports ELSE -curve_lamports END) AS curve,
               sum(protocol_fee_lamports) AS protocol_fee, sum(creator_fee_lamports) AS creator_fee,
               sum(venue_fee_lamports) AS venue_fee, sum(network_fee_lamports) AS network_fee, sum(tip_lamports) AS tip,
               sum(rent_lamports) AS rent, sum(virtual_loss_lamports) AS virtual_loss
        FROM trade_logs WHERE wallet_id = w.id
    ) t ON true
    LEFT JOIN LATERAL (
        SELECT sum(fee_lamports) AS fee FROM transfer_logs WHERE wallet_id = w.id AND status = 'SUCCESS'
    ) x ON true
) found
WHERE (cash <> 0 OR reserved <> 0 OR deposited <> 0 OR network_fee <> 0)
  AND NOT EXISTS (SELECT 1 FROM ledger_entries l WHERE l.wallet_id = found.id);

COMMENT ON INDEX ledger_newest IS 'the entries of a wallet, newest first: apps.trading.ledger_queries.entries_of';
COMMENT ON INDEX ledger_order_once IS 'an order is booked once: apps.trading.book.TableBook.ledger_add';
COMMENT ON INDEX orders_unknown IS 'real orders whose end is not known: apps.trading.queries.orders_in_flight';
COMMENT ON INDEX order_signature_once IS 'a transaction belongs to one order: apps.trading.dispatch.receipt_note';
