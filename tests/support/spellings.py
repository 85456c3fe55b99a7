"""The spellings in which a secret could leak, as a careless line of code would produce them."""

import base64
from urllib.parse import quote

# Contains characters that encoding changes.
KEY = "pk_test_SECRET/+=&0123456789"


def spellings(secret: str) -> list[str]:
    """Returns it as it is, URL-encoded, as repr, and in base64 at each of three offsets."""
    texts = [secret, quote(secret, safe=""), quote(secret), repr(secret)[1:-1]]
    for lead in range(3):
        encoded = base64.b64encode(b"\0" * lead + secret.encode()).decode()
        # Without the letters that also encode neighbouring bytes.
        texts.append(encoded[4 if lead else 0 : len(encoded) // 4 * 4 - 4])
    return texts


def found(secret: str, text: str | bytes) -> list[str]:
    """Returns the spellings of a secret that a text, or its bytes, contains."""
    if isinstance(text, bytes):
        return [spelling for spelling in spellings(secret) if spelling.encode() in text]
    return [spelling for spelling in spellings(secret) if spelling in text]
