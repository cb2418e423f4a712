"""Screens of inventory: what is there, and what can be done to it."""

from inventory.views.catalog import (
    catalog,
    catalog_applied,
    catalog_apply,
    catalog_draft,
    catalog_draft_apply,
    catalog_export,
    catalog_read,
)
from inventory.views.discovery import discovery_detail, discovery_list, discovery_verb
from inventory.views.drift import drift_detail, drift_list, drift_proposal, drift_verb
from inventory.views.editing import (
    noun_create,
    noun_edit,
    noun_remove,
    objects_edit,
    objects_remove,
    revision_revert,
)
from inventory.views.estate import (
    component_detail,
    data_center_detail,
    environment_detail,
    service_detail,
)
from inventory.views.findings import finding_detail, finding_list, finding_verb
from inventory.views.history import noun_history, removed_detail, removed_list
from inventory.views.imports import (
    import_apply,
    import_columns,
    import_detail,
    import_discard,
    import_list,
    import_recheck,
    import_upload,
)
from inventory.views.journal import note_retract, noun_note, noun_watch, watched_list, watched_see
from inventory.views.nouns import choices, noun_detail, noun_list
from inventory.views.operate import component_operate, component_plans, component_reload
from inventory.views.saved import view_edit, view_remove, view_save

__all__ = [
    "catalog",
    "catalog_applied",
    "catalog_apply",
    "catalog_draft",
    "catalog_draft_apply",
    "catalog_export",
    "catalog_read",
    "choices",
    "component_detail",
    "component_operate",
    "component_plans",
    "component_reload",
    "data_center_detail",
    "discovery_detail",
    "discovery_list",
    "discovery_verb",
    "drift_detail",
    "drift_list",
    "drift_proposal",
    "drift_verb",
    "environment_detail",
    "finding_detail",
    "finding_list",
    "finding_verb",
    "import_apply",
    "import_columns",
    "import_detail",
    "import_discard",
    "import_list",
    "import_recheck",
    "import_upload",
    "note_retract",
    "noun_create",
    "noun_detail",
    "noun_edit",
    "noun_history",
    "noun_list",
    "noun_note",
    "noun_remove",
    "noun_watch",
    "objects_edit",
    "objects_remove",
    "removed_detail",
    "removed_list",
    "revision_revert",
    "service_detail",
    "view_edit",
    "view_remove",
    "view_save",
    "watched_list",
    "watched_see",
]
