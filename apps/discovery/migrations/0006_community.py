from django.db import migrations

from apps.core.sql import run_sql_file


class Migration(migrations.Migration):
    dependencies = [("discovery", "0005_creators")]
    operations = [run_sql_file("014_community.sql")]
