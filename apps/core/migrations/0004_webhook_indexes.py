from django.db import migrations

from apps.core.sql import run_sql_file


class Migration(migrations.Migration):

    dependencies = [
        ('core', '0003_webhooks'),
    ]

    operations = [
        run_sql_file('003_webhook_indexes.sql'),
    ]
