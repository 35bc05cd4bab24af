"""Webhooks have one outbox, in core: what waits moves there, the table of our own goes."""

from django.db import migrations

ENDPOINTS = """
    INSERT INTO webhook_endpoints (uid, name, url, setting, kinds, model_ids, enabled, off_reason, header_name,
        failures, last_error, created_at)
    SELECT gen_random_uuid(), left(url, 100), url, '', '[]', '[]', true, '', '', 0, '', now()
    FROM (SELECT DISTINCT url FROM webhook_deliveries WHERE status = 'pending' ORDER BY url) old
    ON CONFLICT DO NOTHING"""
MESSAGES = """
    INSERT INTO webhook_messages (uid, endpoint_id, kind, active_model_id, body, status, attempts, attempts_before,
        next_attempt_at, error, created_at)
    SELECT gen_random_uuid(), e.id, CASE d.kind WHEN 'alert' THEN 'alerts' ELSE d.kind END, d.active_model_id,
        d.payload::text, 'pending', 0, 0, now(), '', d.created_at
    FROM webhook_deliveries d JOIN webhook_endpoints e ON e.url = d.url AND e.setting = ''
    WHERE d.status = 'pending' ORDER BY d.id"""


class Migration(migrations.Migration):

    dependencies = [
        ('predictions', '0005_champions'),
        ('core', '0003_webhooks'),
    ]

    operations = [
        migrations.RunSQL(ENDPOINTS, reverse_sql=migrations.RunSQL.noop),
        migrations.RunSQL(MESSAGES, reverse_sql=migrations.RunSQL.noop),
        migrations.DeleteModel(name='WebhookDelivery'),
    ]
