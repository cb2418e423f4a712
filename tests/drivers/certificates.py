"""Certificates for tests: an authority, what it signs, and what is wrong on purpose."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_SIGNS = x509.KeyUsage(
    digital_signature=True,
    key_cert_sign=True,
    crl_sign=True,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    encipher_only=False,
    decipher_only=False,
)


@dataclass(frozen=True)
class Issued:
    """A certificate with its key and those above it, nearest first."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey
    above: tuple[Issued, ...] = ()

    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def write(self, folder: Path, name: str, *, chain: bool = True) -> tuple[str, str]:
        """Write `<name>.pem` (with the intermediates, without the root) and `<name>.key`; the paths of both."""
        folder.mkdir(parents=True, exist_ok=True)
        shown, private = folder / f"{name}.pem", folder / f"{name}.key"
        shown.write_bytes(self.pem() + b"".join(one.pem() for one in self.above[:-1] if chain))
        plain = serialization.NoEncryption()
        private.write_bytes(
            self.key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
        )
        return str(shown), str(private)


def issue(
    name: str, by: Issued | None = None, *, ca: bool = False, alternatives: tuple[str, ...] = (), days: float = 30
) -> Issued:
    """A certificate of `name`, signed by `by` or by itself; `days` from now on (negative: it has ended)."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    above = by.key if by else key
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(by.certificate.subject if by else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(min(now, now + timedelta(days=days)) - timedelta(days=1))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        # Python's default context is strict (RFC 5280): it wants to know whose key has signed
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(above.public_key()), critical=False)
    )
    if ca:
        builder = builder.add_extension(_SIGNS, critical=True)
    if alternatives:
        names = [_alternative(one) for one in alternatives]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    signed = builder.sign(above, hashes.SHA256())
    return Issued(signed, key, (by, *by.above) if by else ())


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
