"""Shared parts of every screen: tables, panels, navigation, timelines, the page of one action.

Templates reach them through the tags of ``portal.templatetags.ui``; the gallery shows each in each state.
"""

from portal.ui.acting import act
from portal.ui.columns import Column, Label
from portal.ui.gallery import gallery_context
from portal.ui.icons import icon
from portal.ui.navigation import nav, reader, shell
from portal.ui.openapi import api_operations
from portal.ui.panels import Panel, panel, panels_for
from portal.ui.table import Table
from portal.ui.timeline import Timeline, timeline

__all__ = [
    "Column", "Label", "Panel", "Table", "Timeline", "act", "api_operations", "gallery_context", "icon", "nav", "panel",
    "panels_for", "reader", "shell", "timeline",
]  # fmt: skip
