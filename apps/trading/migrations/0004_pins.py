"""Positions that are open already pin their coin, as every new one does when it opens."""

from django.db import migrations

PIN = """
INSERT INTO pinned_coins (mint, holder, pinned_at)
SELECT mint, 'position:' || id, now() FROM positions WHERE status = 'OPEN' ON CONFLICT DO NOTHING
"""


class Migration(migrations.Migration):
    dependencies = [("trading", "0003_engine"), ("discovery", "0004_feed_ledger")]
    operations = [migrations.RunSQL(PIN, migrations.RunSQL.noop)]
