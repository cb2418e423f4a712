"""The AWS drivers: by contract against moto and in memory, and what the contract cannot know."""

from __future__ import annotations

from contextlib import contextmanager

import pytest

from drivers import aws
from tests.drivers import aws_moto as moto_worlds
from tests.drivers.contract import Contract
from tests.drivers.simulated import aws as memory


@pytest.fixture(scope="session")
def moto(ground):
    """The facts of a connection to the one moto server of this run."""
    with moto_worlds.serving(ground) as facts:
        yield facts


def both(kind, at_moto):
    """The two worlds of a driver."""

    @contextmanager
    def served(request):
        yield at_moto(request.getfixturevalue("moto"))

    @contextmanager
    def remembered(_):
        yield memory.SIMULATED[kind]()

    return {"moto": served, "memory": remembered}


class TestEc2(Contract):
    declared = aws.Ec2Instance
    worlds = both("aws-ec2", moto_worlds.MotoEc2)


class TestElbv2(Contract):
    declared = aws.TargetGroup
    worlds = both("aws-elbv2", moto_worlds.MotoElbv2)


class TestRds(Contract):
    declared = aws.RdsInstance
    worlds = both("aws-rds", moto_worlds.MotoRds)


class TestAutoScaling(Contract):
    declared = aws.AutoScalingGroup
    worlds = both("aws-autoscaling", moto_worlds.MotoAutoScaling)


class TestCloudFront(Contract):
    declared = aws.Distribution
    worlds = both("aws-cloudfront", moto_worlds.MotoCloudFront)


class TestRoute53(Contract):
    declared = aws.HostedZone
    worlds = both("aws-route53", moto_worlds.MotoRoute53)


class TestSqs(Contract):
    declared = aws.SqsQueue
    worlds = both("aws-sqs", moto_worlds.MotoSqs)
