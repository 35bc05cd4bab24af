"""Webhooks have one outbox, in core: batches of coins that wait move there, the table of our own goes."""

from django.db import migrations

ENDPOINT = """
    INSERT INTO webhook_endpoints (uid, name, url, setting, kinds, model_ids, enabled, off_reason, header_name,
        failures, last_error, created_at)
    SELECT gen_random_uuid(), 'N8N_FIND_WEBHOOK_URL', max(url), 'N8N_FIND_WEBHOOK_URL', '["coins"]', '[]', true, '',
        '', 0, '', now()
    FROM coin_batches WHERE status = 'pending' HAVING count(*) > 0
    ON CONFLICT DO NOTHING"""
MESSAGES = """
    INSERT INTO webhook_messages (uid, endpoint_id, kind, body, status, attempts, attempts_before, next_attempt_at,
        error, created_at)
    SELECT gen_random_uuid(), e.id, 'coins', b.payload::text, 'pending', 0, 0, now(), '', b.created_at
    FROM coin_batches b JOIN webhook_endpoints e ON e.setting = 'N8N_FIND_WEBHOOK_URL'
    WHERE b.status = 'pending' ORDER BY b.id"""


class Migration(migrations.Migration):

    dependencies = [
        ('discovery', '0010_creator_order'),
        ('core', '0003_webhooks'),
    ]

    operations = [
        migrations.RunSQL(ENDPOINT, reverse_sql=migrations.RunSQL.noop),
        migrations.RunSQL(MESSAGES, reverse_sql=migrations.RunSQL.noop),
        migrations.DeleteModel(name='CoinBatch'),
    ]
