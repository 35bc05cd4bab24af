from django.db import migrations

from apps.core.sql import run_sql_file


class Migration(migrations.Migration):
    dependencies = [("predictions", "0006_webhooks_move")]
    operations = [run_sql_file("031_outcomes.sql")]
