from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("training", "0002_aliases_lineage_trials")]

    operations = [
        migrations.AddField(
            model_name="model",
            name="profile",
            field=models.JSONField(
                blank=True,
                default=dict,
                help_text="how its features and scores were spread at the fit (profiles.Profile)",
            ),
        ),
    ]
