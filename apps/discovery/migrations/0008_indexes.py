from django.db import migrations

from apps.core.sql import run_sql_file


class Migration(migrations.Migration):
    dependencies = [("discovery", "0007_metadata")]
    operations = [run_sql_file("015_indexes.sql")]
