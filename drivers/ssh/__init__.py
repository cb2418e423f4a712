"""A host over SSH: what it says of itself, and the few things that its facts allow."""

from drivers.ssh.host import SshHost

__all__ = ["SshHost"]
