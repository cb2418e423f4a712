from django.db import migrations

from portal.search.words import searchable


class Migration(migrations.Migration):
    dependencies = [("access", "0001_initial"), ("portal", "0003_search")]
    operations = [
        searchable("access_accessrequest", "key || ' ' || role || ' ' || reason"),
        searchable("access_grant", "key || ' ' || role"),
    ]
