"""What can keep this machine from reaching Courier: proxy settings, trusted certificates."""

import os
import ssl
from pathlib import Path
from typing import Final

_PROXY_VARIABLES: Final = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY")
_TRUST_ADVICE: Final = (
    "This machine's Python has no trusted certificates: install them (Linux: the package "
    "ca-certificates; macOS: Install Certificates.command in Python's folder), and see whether "
    "SSL_CERT_FILE or SSL_CERT_DIR leads nowhere."
)


def network_advice(host: str) -> str:
    """Returns what to do if `host` cannot be reached."""
    proxies = [
        name
        for upper in _PROXY_VARIABLES
        for name in (upper, upper.lower())
        if os.environ.get(name)
    ]
    advice = (
        f"Check region and base_url in the configuration, and whether this machine's network "
        f"reaches {host} directly."
    )
    if proxies:
        names = " and ".join(proxies)
        advice += (
            f" {names} {'is' if len(proxies) == 1 else 'are'} set, but this connector uses no "
            "proxy, so that the key goes to Courier alone."
        )
    return advice


def certificate_advice(host: str) -> str:
    """Returns what to do if the certificate of `host` is not trusted."""
    if not _has_trusted_certificates():
        return _TRUST_ADVICE
    return (
        f"Check base_url, this machine's clock, and whether something in between takes the "
        f"connection to {host} apart; if so, add its certificate to those that this machine "
        "trusts."
    )


def _has_trusted_certificates() -> bool:
    if ssl.create_default_context().cert_store_stats()["x509_ca"] > 0:
        return True
    # Certificates in a folder are loaded on demand, so they are not counted.
    folder = ssl.get_default_verify_paths().capath
    return folder is not None and any(Path(folder).iterdir())
