"""Screens of identity: the door, one's own profile, and who may do what."""
