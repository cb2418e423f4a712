from django.db import migrations

from portal.search.words import searchable


class Migration(migrations.Migration):
    dependencies = [("deployments", "0001_initial"), ("portal", "0003_search")]
    operations = [
        searchable(
            "deployments_artifact",
            'version || \' \' || digest || \' \' || location || \' \' || "commit" || \' \' || author_label',
        ),
    ]
