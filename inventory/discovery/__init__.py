"""The rules of discovery over plain values: what a run changes, which source decides, and what differs.

Nothing here reads the database or the world, so the rules can be proved for any order of events.
"""
