from django.db import migrations

from portal.search.words import searchable


class Migration(migrations.Migration):
    dependencies = [("identity", "0002_sign_in"), ("portal", "0003_search")]
    operations = [
        searchable("identity_person", "name || ' ' || email"),
        searchable("identity_account", "username"),
        searchable("identity_team", "slug || ' ' || name"),
    ]
