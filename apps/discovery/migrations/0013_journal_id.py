from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("discovery", "0012_streams_newest")]
    operations = [
        migrations.AddField(
            model_name="streamstate",
            name="journal_id",
            field=models.CharField(
                blank=True,
                db_default="",
                default="",
                help_text="of the journal that the cursor is a place in",
                max_length=36,
            ),
        ),
    ]
