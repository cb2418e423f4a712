"""PostgreSQL, Valkey and the supervisor that `make up` and the test suite start without root.

Nothing here knows Django: the test plugin needs a database before settings are read.
"""
