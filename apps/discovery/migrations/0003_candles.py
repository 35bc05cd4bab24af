from django.db import migrations, models

from apps.core.sql import run_sql_file


class Migration(migrations.Migration):
    dependencies = [
        ("discovery", "0002_hypertables"),
    ]

    operations = [
        migrations.CreateModel(
            name="CandleDue",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("minute", models.DateTimeField()),
            ],
            options={
                "db_table": "coin_candles_due",
            },
        ),
        migrations.CreateModel(
            name="CoinCandle",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "mint", "timestamp", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("mint", models.CharField(max_length=64)),
                ("timestamp", models.DateTimeField()),
                ("price_open", models.FloatField(help_text="SOL per token, like the other three")),
                ("price_high", models.FloatField()),
                ("price_low", models.FloatField()),
                ("price_close", models.FloatField()),
                ("volume_lamports", models.BigIntegerField()),
                ("buy_volume_lamports", models.BigIntegerField()),
                ("trades", models.IntegerField()),
                ("buys", models.IntegerField()),
            ],
            options={
                "db_table": "coin_candles_1m",
            },
        ),
        run_sql_file("012_candles.sql"),
    ]
