"""Screens of temporary access."""
