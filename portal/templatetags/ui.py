"""Template tags of the shared components."""

from django import template

register = template.Library()
