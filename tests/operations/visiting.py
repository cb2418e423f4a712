"""A plan that leaves one mark in a real Valkey, by its address: for targets of which some hang."""

from __future__ import annotations

from typing import Any

from drivers.redis import Redis
from drivers.secret import SecretStore
from operations.plan import Act, Plan, StepContext, StepDraft

KIND = "tests.visit"


class Visiting(Plan):
    kind = KIND
    title = "Visit {subject}"
    permission = "inventory.reload"
    params_schema: dict[str, Any] = {"type": "object", "properties": {"port": {"type": "integer"}}}

    def __init__(self) -> None:
        self.acts = (Act("visit", "Visit", self.visit, None, self.visited, "A mark stays; it harms nobody."),)

    def draft(self, subject: Any, params: dict[str, Any]) -> list[StepDraft]:
        return [StepDraft("visit", f"Leave a mark at {params['port']}")]

    def target(self, subject: Any) -> str:
        return str(subject.slug)

    @staticmethod
    def _at(ctx: StepContext) -> Redis:
        return Redis({"host": "127.0.0.1", "port": ctx.params["port"]}, SecretStore())

    def visited(self, ctx: StepContext) -> bool:
        with self._at(ctx).connected() as client:
            return bool(client.exists(ctx.token))

    def visit(self, ctx: StepContext) -> dict[str, Any]:
        with self._at(ctx).connected() as client:
            return {"visits": client.incr(ctx.token)}
