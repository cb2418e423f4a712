from django.db import migrations

from portal.search.words import searchable


class Migration(migrations.Migration):
    dependencies = [("operations", "0006_workers"), ("portal", "0003_search")]
    operations = [
        searchable("operations_operation", "'op ' || number || ' ' || title || ' ' || kind || ' ' || subject_label"),
    ]
