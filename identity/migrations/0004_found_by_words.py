from django.db import migrations

from portal.search.words import searchable


class Migration(migrations.Migration):
    dependencies = [("identity", "0003_answered_requests"), ("portal", "0003_search")]
    operations = [
        searchable("identity_person", "name || ' ' || email"),
        searchable("identity_account", "username"),
        searchable("identity_team", "slug || ' ' || name"),
    ]
