COMMENT ON INDEX transfers_in_flight IS 'transfers whose end is not known: apps.trading.sending.transfers_in_flight';
COMMENT ON INDEX transfer_signature_once IS 'a transaction belongs to one transfer: apps.trading.sending.transfer_sign';
COMMENT ON INDEX real_unlock_one IS 'the unlocking of a wallet that counts: apps.trading.unlocking.unlock_of';
COMMENT ON INDEX address_name_once IS 'a name in the address book: apps.trading.address_book.address_find';
COMMENT ON INDEX address_once IS 'an address in the address book: apps.trading.address_book.address_find';
COMMENT ON INDEX difference_open_once IS 'a difference is shown once: apps.trading.reconciliation.differences_note';
