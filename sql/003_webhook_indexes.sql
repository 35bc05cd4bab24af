-- Unique indexes that are there only when the migration of the tables has ended.
COMMENT ON INDEX endpoint_of_setting IS 'the endpoint of a setting, one each: apps.core.webhooks.endpoint_of_setting';
COMMENT ON INDEX endpoint_of_url IS 'the endpoint at an address, one each: apps.core.webhooks.endpoint_at';
