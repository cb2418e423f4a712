"""Each known word stands once for every table that has it, so that a search asks only the tables that may answer."""

from django.db import migrations

# A database that is made today has the column from the beginning (0003).
TABLE = """
ALTER TABLE portal_search_word ADD COLUMN IF NOT EXISTS place text COLLATE "C" NOT NULL DEFAULT '';
DROP INDEX portal_search_word_word;
CREATE INDEX portal_search_word_word ON portal_search_word (word, place);
CREATE INDEX portal_search_word_place ON portal_search_word (place, word);
CREATE OR REPLACE FUNCTION portal_search_learn() RETURNS trigger LANGUAGE plpgsql
    -- One look into the index for each word; a plan kept from a large statement would read the whole table.
    SET enable_hashjoin = off SET enable_mergejoin = off SET enable_seqscan = off AS $$
BEGIN
    INSERT INTO portal_search_word (word, place)
    SELECT DISTINCT seen.word, TG_TABLE_NAME::text
      FROM new_rows, unnest(tsvector_to_array(new_rows.words)) AS seen (word)
     WHERE NOT EXISTS (SELECT FROM portal_search_word known
                        WHERE known.place = TG_TABLE_NAME::text AND known.word = seen.word COLLATE "C");
    RETURN NULL;
END $$;
DELETE FROM portal_search_word;
DO $$ DECLARE searched regclass; BEGIN
    FOR searched IN SELECT tgrelid FROM pg_trigger WHERE tgname = 'search_learn_insert' LOOP
        EXECUTE format('INSERT INTO portal_search_word (word, place)
                        SELECT DISTINCT unnest(tsvector_to_array(words)), %L FROM %s', searched::text, searched);
    END LOOP;
END $$;
"""

# Which of the tables know every word, the last one as a beginning when it has a tail; or every word as the parser
# reads the line, which takes "12e4f" for two: what is named exactly so has those.
TABLES = """
CREATE FUNCTION portal_search_tables(tables text[], line text, words text[], tail text) RETURNS text[]
LANGUAGE plpgsql STABLE AS $$
DECLARE
    plain text[] := words[:cardinality(words) - 1];
    final text := words[cardinality(words)];
    parsed text[] := tsvector_to_array(portal_search_words(line, NULL));
BEGIN
    RETURN ARRAY(
        SELECT name FROM unnest(tables) AS each (name)
         WHERE (EXISTS (SELECT FROM portal_search_word known WHERE known.place = name
                           AND known.word >= final COLLATE "C" AND known.word <= (final || tail) COLLATE "C")
                AND NOT EXISTS (SELECT FROM unnest(plain) AS asked (word) WHERE NOT EXISTS (
                    SELECT FROM portal_search_word known
                     WHERE known.place = name AND known.word = asked.word COLLATE "C")))
            OR NOT EXISTS (SELECT FROM unnest(parsed) AS asked (word) WHERE NOT EXISTS (
                    SELECT FROM portal_search_word known
                     WHERE known.place = name AND known.word = asked.word COLLATE "C")));
END $$;
"""

# Of each word the known ones among its edits (separated by blanks; it is one of them itself), or else those alike.
NEAR = """
CREATE FUNCTION portal_search_near(words text[], edits text[])
RETURNS TABLE (typed text, near text, place text) LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN QUERY
    WITH asked AS (SELECT * FROM unnest(words, edits) AS asked (word, edits)),
         slips AS MATERIALIZED (
             SELECT asked.word AS typed, known.word, known.place FROM asked
               JOIN portal_search_word known ON known.word = ANY (string_to_array(asked.edits, ' ')))
    SELECT * FROM slips UNION ALL
    SELECT asked.word, alike.word, unnest(alike.places) FROM asked CROSS JOIN LATERAL (
        SELECT known.word, array_agg(known.place) AS places FROM portal_search_word known
         WHERE known.word % asked.word AND similarity(known.word, asked.word) >= 0.4
         GROUP BY known.word ORDER BY similarity(known.word, asked.word) DESC, known.word LIMIT 20) alike
     WHERE length(asked.word) >= 5
       AND NOT EXISTS (SELECT FROM slips WHERE slips.typed = asked.word AND slips.word <> asked.word);
END $$;
"""


class Migration(migrations.Migration):
    dependencies = [("portal", "0003_search")]
    operations = [
        migrations.RunSQL(TABLE, migrations.RunSQL.noop),
        migrations.RunSQL(TABLES, "DROP FUNCTION portal_search_tables;"),
        migrations.RunSQL(NEAR, "DROP FUNCTION portal_search_near;"),
    ]
