-- Which query each index of the webhooks is for; other uniqueness needs no query.
COMMENT ON INDEX webhooks_due IS 'what an endpoint is to be sent: apps.core.outbox.turns_claim';
COMMENT ON INDEX webhooks_of_endpoint IS 'messages of an endpoint, newest first: apps.predictions.api_webhooks';
COMMENT ON INDEX webhooks_of_model IS 'messages of a model at work: apps.predictions.services.n8n_status';
COMMENT ON INDEX attempt_once IS 'attempts of a message, each once: apps.core.outbox.turn_settle';
