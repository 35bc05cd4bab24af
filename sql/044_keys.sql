-- Indexes of wallets' keys, each with its query.
COMMENT ON INDEX key_events_newest IS 'what was done with a wallet''s key: apps.trading.wallet_keys.key_events';
COMMENT ON INDEX wallet_address_once IS 'an address belongs to one real wallet: apps.trading.wallet_keys.wallet_create_real';
