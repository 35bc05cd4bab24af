from django.db import migrations

from apps.core.sql import run_sql_file


class Migration(migrations.Migration):
    dependencies = [("trading", "0001_initial")]
    operations = [run_sql_file("040_trading.sql")]
