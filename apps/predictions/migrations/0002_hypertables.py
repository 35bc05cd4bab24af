from django.db import migrations

from apps.core.sql import run_sql_file


class Migration(migrations.Migration):
    dependencies = [("predictions", "0001_initial")]
    operations = [run_sql_file("030_predictions.sql")]
