"""What can keep this machine from reaching Courier: proxy settings, trusted certificates."""

import os
import ssl
from pathlib import Path
from typing import Final

_PROXY_VARIABLES: Final = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY")
_TRUST_ADVICE: Final = (
    "This machine's Python has no trusted certificates: install them (Linux: the package "
    "ca-certificates; macOS: Install Certificates.command in Python's folder), and check that "
    "SSL_CERT_FILE and SSL_CERT_DIR, if set, point to existing paths."
)


def network_advice(host: str) -> str:
    proxies = [
        name
        for upper in _PROXY_VARIABLES
        for name in (upper, upper.lower())
        if os.environ.get(name)
    ]
    advice = (
        "Check region and base_url in the configuration, and whether this machine can reach "
        f"{host} directly."
    )
    if proxies:
        names = " and ".join(proxies)
        advice += (
            f" {names} {'is' if len(proxies) == 1 else 'are'} set, but this connector ignores "
            "proxies so that the key is sent only to Courier."
        )
    return advice


def certificate_advice(host: str) -> str:
    if not _has_trusted_certificates():
        return _TRUST_ADVICE
    return (
        "Check base_url, this machine's clock, and whether something between this machine and "
        f"{host} intercepts TLS; if so, add its certificate to this machine's trusted "
        "certificates."
    )


def _has_trusted_certificates() -> bool:
    if ssl.create_default_context().cert_store_stats()["x509_ca"] > 0:
        return True
    # Certificates in a folder are loaded on demand, so they are not counted.
    folder = ssl.get_default_verify_paths().capath
    return folder is not None and any(Path(folder).iterdir())
