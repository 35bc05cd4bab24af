from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("discovery", "0011_webhooks_move")]
    operations = [
        migrations.AddIndex(
            model_name="coinstream",
            index=models.Index(fields=["-started_at", "coin"], name="streams_newest"),
        ),
        migrations.RunSQL(
            "COMMENT ON INDEX streams_newest IS 'every stream, newest first: apps.discovery.pages_list.mints_found'",
            reverse_sql=migrations.RunSQL.noop,
        ),
    ]
