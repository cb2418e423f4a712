"""The API's schema as something a template can list."""

from __future__ import annotations

from typing import Any

METHODS = ("get", "post", "put", "patch", "delete")


def api_operations(spec: dict[str, Any]) -> list[dict[str, Any]]:
    """Groups by tag, each with its operations: method, path, summary, parameters, body fields, answers."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for path, item in spec.get("paths", {}).items():
        for method in METHODS:
            if operation := item.get(method):
                tag = path.removeprefix("/api/v1/").split("/")[0] or "api"
                groups.setdefault(tag, []).append(_operation(spec, method, path, operation))
    return [{"tag": tag, "operations": found} for tag, found in groups.items()]


def _operation(spec: dict[str, Any], method: str, path: str, operation: dict[str, Any]) -> dict[str, Any]:
    content: dict[str, dict[str, Any]] = operation.get("requestBody", {}).get("content", {})
    schema: dict[str, Any] = next((kind["schema"] for kind in content.values()), {})
    body = _resolved(spec, schema)
    required = body.get("required", [])
    return {
        "id": operation.get("operationId", f"{method}-{path}"),
        "method": method.upper(),
        "path": path,
        "summary": (operation.get("summary") or operation.get("description", "").strip().partition("\n")[0]).replace(
            "``", ""
        ),
        "parameters": [
            {
                "name": p["name"],
                "where": p["in"],
                "type": p.get("schema", {}).get("type", ""),
                "required": p.get("required"),
            }
            for p in operation.get("parameters", [])
        ],
        "fields": [
            {"name": name, "type": _type(spec, schema), "required": name in required}
            for name, schema in body.get("properties", {}).items()
        ],
        "answers": sorted(operation.get("responses", {})),
    }


def _resolved(spec: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    name = schema.get("$ref", "").rpartition("/")[2]
    return spec["components"]["schemas"][name] if name else schema


def _type(spec: dict[str, Any], schema: dict[str, Any]) -> str:
    if "$ref" in schema or "allOf" in schema:
        schema = _resolved(spec, schema if "$ref" in schema else schema["allOf"][0])
    if "enum" in schema:
        return " | ".join(str(value) for value in schema["enum"])
    return str(schema.get("format") or schema.get("type", ""))
