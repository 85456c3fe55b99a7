"""A secret as it may be spelled where it must not be: the ways that a careless line would take."""

import base64
from urllib.parse import quote

# Of characters that change when it is encoded.
KEY = "pk_test_SECRET/+=&0123456789"


def spellings(secret: str) -> list[str]:
    """As it is, URL-encoded, and base64 at each of the three places where it may begin."""
    texts = [secret, quote(secret, safe=""), quote(secret), repr(secret)[1:-1]]
    for lead in range(3):
        encoded = base64.b64encode(b"\0" * lead + secret.encode()).decode()
        # Without the letters that what stands before and after has a part in.
        texts.append(encoded[4 if lead else 0 : len(encoded) // 4 * 4 - 4])
    return texts


def found(secret: str, text: str | bytes) -> list[str]:
    """The spellings of a secret that stand in a text, or in its bytes."""
    if isinstance(text, bytes):
        return [spelling for spelling in spellings(secret) if spelling.encode() in text]
    return [spelling for spelling in spellings(secret) if spelling in text]
