from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("training", "0003_profile")]

    operations = [
        migrations.AddField(
            model_name="model",
            name="judging",
            field=models.JSONField(
                blank=True,
                default=dict,
                help_text="kept for later judging: baselines, regime, permutation (see judging)",
            ),
        ),
    ]
