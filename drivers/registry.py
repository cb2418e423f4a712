"""Driver kinds by the name that a connection uses in its `driver` fact.

Classes are imported when they are first asked for: a web process draws pages about every technology and needs the
client library of none.
"""

from __future__ import annotations

import functools
import importlib
from typing import cast

from drivers.base import Driver
from drivers.errors import PermanentError

KINDS: dict[str, str] = {
    "nginx": "drivers.nginx:Nginx",
    "pm2": "drivers.pm2:Pm2",
    "app": "drivers.app:App",
    "php-fpm": "drivers.php_fpm:PhpFpm",
    "mariadb": "drivers.mariadb:MariaDB",
    "mongodb": "drivers.mongodb:MongoDB",
    "redis": "drivers.redis:Redis",
    "sentinel": "drivers.redis:Sentinel",
    "memcached": "drivers.memcached:Memcached",
    "rabbitmq": "drivers.rabbitmq:RabbitMQ",
    "s3": "drivers.s3:S3",
    "aws": "drivers.aws:Account",
    "aws-ec2": "drivers.aws:Ec2Instance",
    "aws-elbv2": "drivers.aws:TargetGroup",
    "aws-rds": "drivers.aws:RdsInstance",
    "aws-autoscaling": "drivers.aws:AutoScalingGroup",
    "aws-cloudfront": "drivers.aws:Distribution",
    "aws-route53": "drivers.aws:HostedZone",
    "aws-sqs": "drivers.aws:SqsQueue",
    "ssh": "drivers.ssh:SshHost",
    "http": "drivers.http:HttpCheck",
    "tcp": "drivers.probes:TcpCheck",
    "tls": "drivers.probes:TlsCheck",
    "dns": "drivers.probes:DnsCheck",
    "prometheus": "drivers.prometheus:Prometheus",
    "alertmanager": "drivers.alertmanager:Alertmanager",
}

# What people call each kind, in the plural where there are usually several.
LABELS: dict[str, str] = {
    "nginx": "nginx",
    "pm2": "PM2",
    "app": "Services in two slots",
    "php-fpm": "PHP-FPM",
    "mariadb": "MariaDB",
    "mongodb": "MongoDB",
    "redis": "Redis and Valkey",
    "sentinel": "Redis Sentinel",
    "memcached": "Memcached",
    "rabbitmq": "RabbitMQ",
    "s3": "S3 buckets",
    "aws": "AWS accounts",
    "aws-ec2": "EC2 instances",
    "aws-elbv2": "ELB target groups",
    "aws-rds": "RDS instances",
    "aws-autoscaling": "Auto Scaling groups",
    "aws-cloudfront": "CloudFront distributions",
    "aws-route53": "Route 53 zones",
    "aws-sqs": "SQS queues",
    "ssh": "Hosts over SSH",
    "http": "HTTP checks",
    "tcp": "TCP checks",
    "tls": "TLS checks",
    "dns": "DNS checks",
    "prometheus": "Prometheus",
    "alertmanager": "Alertmanager",
}


@functools.cache
def driver_class(kind: str) -> type[Driver]:
    """The class of `kind`; `PermanentError` when there is no such driver."""
    if kind not in KINDS:
        raise PermanentError(f"there is no driver {kind!r}"[:200])
    module, _, name = KINDS[kind].partition(":")
    return cast(type[Driver], getattr(importlib.import_module(module), name))
