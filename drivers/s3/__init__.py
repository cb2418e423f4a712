"""Object storage that speaks S3 (AWS, SeaweedFS and others), through boto3."""

from drivers.s3.bucket import S3

__all__ = ["S3"]
