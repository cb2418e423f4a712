"""Screens and machine entry points."""
