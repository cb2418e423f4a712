"""One CloudFront distribution.

Source: the CloudFront API reference (CreateInvalidation) and "Invalidate files" of its developer guide: a path begins
with `/`, may end in `*`, and the same `CallerReference` never makes a second invalidation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, cast

from msgspec import Meta

from drivers.acts import Act, Call, Condition, Facts, Parameters, Report, Risk
from drivers.aws.session import AwsDriver, matching, short_token
from drivers.base import Observation

if TYPE_CHECKING:
    from mypy_boto3_cloudfront import CloudFrontClient

PATH = r"^/(?:[A-Za-z0-9._~/@:+=,-]|%[0-9A-Fa-f]{2})*\*?$"
Path = Annotated[str, Meta(pattern=PATH, max_length=512)]


class Paths(Parameters):
    """What the edges shall forget."""

    paths: Annotated[
        list[Path],
        Meta(title="Paths", description="/img/logo.png, or /img/* for all below.", min_length=1, max_length=15),
    ]


class Invalidate(Act["Distribution", Paths]):
    """Make the edges forget files."""

    name = "invalidate"
    title = "Invalidate {paths}"
    summary = (
        "CloudFront forgets the copies of these paths at all its edges, usually within a minute or two, and fetches "
        "them anew when they are next asked for: the origin gets more requests for a while, most of all after /*. "
        "Above 1,000 paths a month it costs money. Copies in browsers stay."
    )
    risk = Risk.MEDIUM
    Parameters = Paths
    why_no_undo = "What has been forgotten is fetched again by itself."
    timeout_seconds = 600

    def conditions(self, driver: Distribution, params: Paths) -> list[Condition]:
        enabled = bool(driver.distribution()["DistributionConfig"]["Enabled"])
        return [Condition("The distribution is enabled", enabled, "enabled" if enabled else "disabled")]

    def before(self, driver: Distribution, params: Paths) -> Report:
        return {"known": driver.invalidations()}

    def sends(self, driver: Distribution, params: Paths, before: Facts) -> list[str]:
        return [
            f"aws cloudfront create-invalidation --distribution-id {driver.distribution_id} "
            f"--paths {' '.join(params.paths)}"
        ]

    def done(self, driver: Distribution, params: Paths, before: Facts) -> bool:
        fresh = (driver.invalidation(one) for one in driver.invalidations() if one not in before["known"])
        return any(one["paths"] == sorted(params.paths) and one["completed"] for one in fresh)

    def do(self, driver: Distribution, params: Paths, before: Facts, call: Call) -> Report:
        reference = short_token(call.token)
        fresh = [one for one in driver.invalidations() if one not in before["known"]]
        made = next((one for one in fresh if driver.invalidation(one)["reference"] == reference), "")
        if not made:
            paths = {"Quantity": len(params.paths), "Items": sorted(params.paths)}
            with driver.asking():
                call.check()
                answer = driver.api.create_invalidation(
                    DistributionId=driver.distribution_id,
                    InvalidationBatch={"Paths": cast(Any, paths), "CallerReference": reference},
                )
                made = answer["Invalidation"]["Id"]
        driver.wait(f"invalidation {made} is complete", lambda: driver.invalidation(made)["completed"], call)
        return {"invalidation": made}


class Distribution(AwsDriver):
    """Facts: those of `AwsDriver`, and `distribution_id`."""

    kind: ClassVar[str] = "aws-cloudfront"
    service: ClassVar[str] = "CloudFront"
    required: ClassVar[tuple[str, ...]] = ("region", "distribution_id")
    acts: ClassVar[tuple[Any, ...]] = (Invalidate(),)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.distribution_id = matching(r"[A-Z0-9]{10,20}", "distribution", self.facts["distribution_id"])

    @property
    def api(self) -> CloudFrontClient:
        return cast("CloudFrontClient", self.client("cloudfront"))

    def distribution(self) -> dict[str, Any]:
        """The distribution as AWS gives it; `Missing` when there is none."""
        with self.asking():
            return dict(self.api.get_distribution(Id=self.distribution_id)["Distribution"])

    def invalidations(self) -> list[str]:
        """The ids of the last 100 invalidations (one page; CloudFront lists the newest first)."""
        with self.asking():
            found = self.api.list_invalidations(DistributionId=self.distribution_id, MaxItems="100")
            return [one["Id"] for one in found["InvalidationList"].get("Items", [])]

    def invalidation(self, invalidation_id: str) -> dict[str, Any]:
        """Its sorted `paths`, its caller's `reference`, and whether it is `completed`."""
        with self.asking():
            found = self.api.get_invalidation(DistributionId=self.distribution_id, Id=invalidation_id)["Invalidation"]
            batch = found["InvalidationBatch"]
            return {
                "paths": sorted(batch["Paths"].get("Items", [])),
                "reference": batch["CallerReference"],
                "completed": found["Status"].lower() == "completed",
            }

    def look(self) -> Observation:
        """Names, status and invalidations under way. Healthy: it is enabled (it also serves while it is deployed)."""
        found = self.distribution()
        with self.asking():
            config = found["DistributionConfig"]
            enabled = bool(config["Enabled"])
            facts: dict[str, Any] = {
                "domain": found["DomainName"],
                "aliases": list(config.get("Aliases", {}).get("Items", [])),
                "status": found["Status"],
                "enabled": enabled,
                "origins": [one["DomainName"] for one in config["Origins"]["Items"]],
            }
        if not enabled:
            facts["error"] = "the distribution is disabled"
        running = float(found.get("InProgressInvalidationBatches", 0))
        return self.seen(enabled, facts, {"invalidations_in_progress": running})
