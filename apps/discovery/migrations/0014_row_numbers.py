from django.db import migrations

from apps.core.sql import run_sql_file


class Migration(migrations.Migration):
    dependencies = [("discovery", "0013_journal_id")]
    operations = [run_sql_file("016_row_numbers.sql")]
