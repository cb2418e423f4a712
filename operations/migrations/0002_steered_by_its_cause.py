from django.db import migrations, models


class Migration(migrations.Migration):
    """An operation that is part of something larger is told to run by that alone."""

    dependencies = [("operations", "0001_initial")]

    operations = [
        migrations.AddField(model_name="operation", name="steered", field=models.BooleanField(default=False)),
    ]
