from django.db import migrations

# The first buy of a coin was counted twice, so that a creator who sold everything had sold half. What can be computed
# again is forgotten; a summary of more trades than are stored stays, because retention has dropped some.
FORGET = """
DELETE FROM creator_coins k
WHERE k.trades <= (SELECT count(*) FROM coin_transactions t WHERE t.mint = k.mint);
DELETE FROM creator_histories WHERE coins > 0;
"""


class Migration(migrations.Migration):
    dependencies = [("discovery", "0014_row_numbers")]
    operations = [migrations.RunSQL(FORGET, reverse_sql=migrations.RunSQL.noop)]
