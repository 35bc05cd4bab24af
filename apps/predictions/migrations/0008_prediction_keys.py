from django.db import migrations

from apps.core.sql import run_sql_file


class Migration(migrations.Migration):
    dependencies = [("predictions", "0007_outcomes_by_day")]
    operations = [run_sql_file("032_prediction_keys.sql")]
