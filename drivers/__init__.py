"""Drivers: how real infrastructure is read and acted upon.

Pure Python, no Django and no models. Each technology has one folder or module; everything a plan, a reconciler or a
collector may do to the world outside goes through a class here. See `drivers.base` for the contract all of them keep.
"""
