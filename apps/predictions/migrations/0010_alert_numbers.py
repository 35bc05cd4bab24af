from django.db import migrations

from apps.core.sql import run_sql_file


class Migration(migrations.Migration):
    dependencies = [("predictions", "0009_place_deleted")]
    operations = [run_sql_file("033_alert_numbers.sql")]
