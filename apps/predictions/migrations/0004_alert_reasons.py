from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("predictions", "0003_judged_to")]

    operations = [
        migrations.AddField("alertevaluation", "highest_at", models.DateTimeField(null=True)),
        migrations.AddField("alertevaluation", "lowest_at", models.DateTimeField(null=True)),
        migrations.AddField(
            "alertevaluation",
            "touches_gap",
            models.BooleanField(db_default=False, help_text="the feed was away within the history it knows"),
        ),
        migrations.AddField(
            "alertevaluation",
            "reasons",
            models.JSONField(help_text="what moved the score most (apps.predictions.reasons)", null=True),
        ),
        migrations.AlterField(
            "scorerstate",
            "skipped_total",
            models.BigIntegerField(default=0, help_text="rows that came too late to be scored"),
        ),
        migrations.AddField(
            "scorerstate",
            "skipped_untraded",
            models.BigIntegerField(db_default=0, help_text="rows of finished or graduated coins"),
        ),
        migrations.AddField(
            "scorerstate",
            "skipped_curve",
            models.BigIntegerField(db_default=0, help_text="rows of coins off the standard curve"),
        ),
    ]
