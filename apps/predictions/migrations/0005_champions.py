import django.db.models.deletion
from django.db import migrations, models


def _event_fields() -> list[tuple[str, models.Field]]:
    model = {"null": True, "on_delete": django.db.models.deletion.SET_NULL, "related_name": "+", "to": "training.model"}
    kinds = [
        ("challenged", "Challenged"), ("gate", "Gate"), ("promoted", "Promoted"), ("rolled_back", "Rolled Back"),
        ("ended", "Ended"),
    ]  # fmt: skip
    return [
        ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
        ("active_model_id", models.BigIntegerField()),
        ("kind", models.CharField(choices=kinds, max_length=12)),
        ("at", models.DateTimeField(help_text="feed time")),
        ("champion_name", models.CharField(max_length=100)),
        ("challenger_name", models.CharField(blank=True, default="", max_length=100)),
        ("verdict", models.CharField(
            blank=True, default="", help_text="of the gate (championship.Verdict)", max_length=24,
        )),
        ("figures", models.JSONField(blank=True, default=dict)),
        ("by", models.CharField(blank=True, default="", help_text="user name; empty: by itself", max_length=150)),
        ("note", models.CharField(blank=True, default="", max_length=300)),
        ("created_at", models.DateTimeField(auto_now_add=True)),
        ("champion", models.ForeignKey(help_text="held the place before", **model)),
        ("challenger", models.ForeignKey(**model)),
    ]  # fmt: skip


def _plan_fields() -> list[tuple[str, models.Field]]:
    return [
        ("active_model", models.OneToOneField(
            on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name="plan", serialize=False,
            to="predictions.activemodel",
        )),
        ("every_hours", models.PositiveIntegerField(default=0, help_text="of feed time; 0 is off")),
        ("window_hours", models.PositiveIntegerField(
            default=0, help_text="of data; 0: as long as the model's own stretch",
        )),
        ("promote_automatically", models.BooleanField(default=False, help_text="else a passed gate is only proposed")),
        ("min_alerts", models.PositiveIntegerField(
            default=100, help_text="of each model before the gate is looked at",
        )),
        ("shadow_hours", models.PositiveIntegerField(
            default=168, help_text="after which an undecided challenger is ended",
        )),
        ("requested_at", models.DateTimeField(blank=True, help_text="feed time of the last request", null=True)),
        ("note", models.CharField(
            blank=True, default="", help_text="what became of the last request", max_length=300,
        )),
        ("job", models.ForeignKey(
            blank=True, help_text="not yet taken up", null=True, on_delete=django.db.models.deletion.SET_NULL,
            related_name="+", to="training.job",
        )),
    ]  # fmt: skip


def _day_fields() -> list[tuple[str, models.Field]]:
    return [
        ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
        ("active_model_id", models.BigIntegerField()),
        ("day", models.DateField(null=True)),
        ("life", models.JSONField(default=dict, help_text="living.Life as JSON")),
        ("state", models.CharField(blank=True, default="", help_text="living.State", max_length=16)),
        ("drift", models.JSONField(default=dict, help_text="drift.Drift as JSON")),
        ("updated_at", models.DateTimeField(auto_now=True)),
        ("model", models.ForeignKey(
            on_delete=django.db.models.deletion.CASCADE, related_name="days", to="training.model",
        )),
    ]  # fmt: skip


class Migration(migrations.Migration):
    dependencies = [("predictions", "0004_alert_reasons"), ("training", "0003_profile")]

    operations = [
        migrations.AddField("activemodel", "shadow_of", models.OneToOneField(
            blank=True, null=True, on_delete=django.db.models.deletion.CASCADE, related_name="shadow",
            to="predictions.activemodel",
            help_text="the place whose model this one challenges: it scores beside it and tells nobody",
        )),
        migrations.AddField("activemodel", "model_since", models.DateTimeField(
            blank=True, help_text="feed time from which `model` holds the place", null=True,
        )),
        migrations.AddField("prediction", "model_id", models.IntegerField(
            help_text="the trained model; a place at work may change its own", null=True,
        )),
        migrations.AddField("modelprediction", "model_id", models.IntegerField(
            help_text="the trained model that made the score", null=True,
        )),
        migrations.AddField("modelprediction", "quoted_price_sol", models.FloatField(
            help_text="seen when the score was made", null=True,
        )),
        migrations.AddField("modelprediction", "exit_price_sol", models.FloatField(
            help_text="one latency after the target, the stop or the horizon", null=True,
        )),
        migrations.AddField("modelprediction", "exit_at", models.DateTimeField(null=True)),
        migrations.AlterField("alertevaluation", "alert_id", models.BigIntegerField(
            editable=False, null=True,
            help_text="order of commit, from a sequence (sql/030); NULL for a shadow's alert",
        )),
        migrations.CreateModel("RetrainingPlan", _plan_fields(), {"db_table": "retraining_plans"}),
        migrations.CreateModel(
            "ChampionEvent", _event_fields(), {"db_table": "champion_events", "ordering": ["-id"]}
        ),
        migrations.CreateModel("ModelDay", _day_fields(), {"db_table": "model_days", "ordering": ["-day", "id"]}),
        migrations.AddConstraint("modelday", models.UniqueConstraint(
            fields=("active_model_id", "model", "day"), name="model_day_once", nulls_distinct=False,
        )),
    ]  # fmt: skip
