"""A statement that brought thousands of rows into a new database took minutes: PostgreSQL, knowing nothing of the size of
the words' table, held every word against every known one.
"""

from django.db import migrations

# Each word once, asked for as a value of its own. Nothing but the sorted indexes is left to choose: the one of likeness
# also knows what is equal, but reads all that it has not sorted in yet.
LEARN = """
CREATE OR REPLACE FUNCTION portal_search_learn() RETURNS trigger LANGUAGE plpgsql
    SET enable_seqscan = off SET enable_bitmapscan = off AS $$
BEGIN
    INSERT INTO portal_search_word (word, place)
    SELECT seen.word, TG_TABLE_NAME::text
      FROM (SELECT DISTINCT words.word FROM new_rows, unnest(tsvector_to_array(new_rows.words)) AS words (word)) seen
     WHERE (SELECT true FROM portal_search_word known
             WHERE known.place = TG_TABLE_NAME::text AND known.word = seen.word COLLATE "C" LIMIT 1) IS NULL;
    RETURN NULL;
END $$;
"""


class Migration(migrations.Migration):
    dependencies = [("portal", "0005_little_is_left_unsorted")]
    operations = [migrations.RunSQL(LEARN, migrations.RunSQL.noop)]
