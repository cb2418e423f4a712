"""Fixtures of the whole suite live in tests/; the database comes from the plugin tests.postgres."""
