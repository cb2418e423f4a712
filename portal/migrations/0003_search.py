from django.contrib.postgres.operations import TrigramExtension
from django.db import migrations

# The characters between words. The parser would otherwise read paths, hosts and signed numbers where names are meant.
WORDS = """
CREATE FUNCTION portal_search_words(line text, tags text[]) RETURNS tsvector
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
BEGIN
    RETURN strip(to_tsvector('simple'::regconfig, translate(
        coalesce(line, '') || ' ' || coalesce(array_to_string(tags, ' '), ''), '-/._:@,=+<>&', '            ')));
END $$;
"""

# Always true, and said to be dear: of a scan of the whole table and the index of words the planner then takes the
# index. It takes rare words for less rare than they are, and hopes to meet one soon.
DEAR = """
CREATE FUNCTION portal_search_dear(words tsvector) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE COST 1000 AS $$ BEGIN RETURN true; END $$;
"""

# No unique index: two transactions that bring the same new word must not wait for each other. A word that stands there
# twice, or that nothing has any more, does no harm.
KNOWN = """
CREATE TABLE portal_search_word (word text COLLATE "C" NOT NULL, place text COLLATE "C" NOT NULL DEFAULT '');
CREATE INDEX portal_search_word_word ON portal_search_word (word);
CREATE INDEX portal_search_word_alike ON portal_search_word USING gin (word gin_trgm_ops);
CREATE FUNCTION portal_search_learn() RETURNS trigger LANGUAGE plpgsql
    -- One look into the index for each word; a plan kept from a large statement would read the whole table.
    SET enable_hashjoin = off SET enable_mergejoin = off SET enable_seqscan = off AS $$
BEGIN
    INSERT INTO portal_search_word
    SELECT DISTINCT seen.word FROM new_rows, unnest(tsvector_to_array(new_rows.words)) AS seen (word)
     WHERE NOT EXISTS (SELECT FROM portal_search_word known WHERE known.word = seen.word COLLATE "C");
    RETURN NULL;
END $$;
"""


class Migration(migrations.Migration):
    dependencies = [("portal", "0002_events_know_their_transaction")]
    operations = [
        TrigramExtension(),
        migrations.RunSQL(WORDS, "DROP FUNCTION portal_search_words;"),
        migrations.RunSQL(DEAR, "DROP FUNCTION portal_search_dear;"),
        migrations.RunSQL(KNOWN, "DROP TABLE portal_search_word; DROP FUNCTION portal_search_learn;"),
    ]
