from django.db import migrations

from portal.search.words import searchable


class Migration(migrations.Migration):
    dependencies = [("incidents", "0001_initial"), ("portal", "0003_search")]
    # A generated column cannot read another: the number is what ``reference`` is made of.
    operations = [
        searchable("incidents_incident", "'inc ' || number || ' ' || title || ' ' || summary || ' ' || ticket"),
    ]
