"""Resources of an AWS account, one driver each, through boto3."""

from drivers.aws.account import Account
from drivers.aws.autoscaling import AutoScalingGroup
from drivers.aws.cloudfront import Distribution
from drivers.aws.ec2 import Ec2Instance
from drivers.aws.elbv2 import TargetGroup
from drivers.aws.rds import RdsInstance
from drivers.aws.route53 import HostedZone
from drivers.aws.sqs import SqsQueue
from drivers.aws.ssm import RunCommand, Template

__all__ = [
    "Account",
    "AutoScalingGroup",
    "Distribution",
    "Ec2Instance",
    "HostedZone",
    "RdsInstance",
    "RunCommand",
    "SqsQueue",
    "TargetGroup",
    "Template",
]
