"""Ids and names of records: recognizable ones, or ones that software gets wrong."""

from collections.abc import Callable

from tests.support.fake_courier.drawing import Coder, Draw, seed_key

BASE32 = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
NANOID = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

# Text that type inference mistakes for something else; it must land unchanged.
AWKWARD = ("true", "t", "1e5", "007", "2024-01-01", "null", "NaN", "15551234567", "1,5", " x ")
# Ids that a customer may have chosen, at fixed places so that each occurs once.
AWKWARD_IDS = (
    "007", "true", "acme/eu", "two words", "größe/東京 1", "1e5", "2024-01-01", "100%",
    "a+b=c&d?e#f", "t", "%2F", "🙂",
)  # fmt: skip
FIRST_AWKWARD_ID = 2
WORDS = (
    "Welcome", "Invoice", "Digest", "Premium", "Beta testers", "On call", "Größe", "Équipe",
    "Weekly, report", 'Quoted "name"', "日本語", "Reset", "Trial", "Churned",
)  # fmt: skip
SLUGS = ("eng", "eng.beta", "sales", "acme/eu", "two words", "größe", "eu-premium", "o'neill")

COMPANIES = (
    "Acme", "Globex", "Initech", "Umbrella", "Hooli", "Stark Travel", "Wayne Logistics",
    "Wonka Foods", "Cyberdyne", "Vandelay Imports", "Soylent", "Pied Piper",
)  # fmt: skip
PLAIN_NAMES = {
    "brand": COMPANIES,
    "tenant": COMPANIES,
    "audience": (
        "Premium users", "Trial users", "EU customers", "Churn risk", "New sign-ups",
        "Power users", "Newsletter readers", "Inactive for a month",
    ),
    "list": (
        "Beta testers", "On call", "Weekly newsletter", "Release notes", "Billing contacts",
        "Engineering", "Sales team", "Incident alerts",
    ),
    "notification": (
        "Welcome email", "Password reset", "Invoice paid", "Order shipped", "Weekly digest",
        "Payment failed", "Trial ending", "Security alert", "New comment", "Visit reminder",
        "Refund issued", "Team invite",
    ),
}  # fmt: skip
PLAIN_TEXTS = ("Important", "Onboarding", "Billing", "Product", "Growth")

Ids = tuple[Callable[[int, int], str], Callable[[str], int | None]]


class Names:
    """The names of records. is_hostile: uses texts that encoding or typing gets wrong."""

    def __init__(self, seed: int, *, is_hostile: bool) -> None:
        self._seed = seed
        self.is_hostile = is_hostile

    def name(self, stream: str, draw: Draw, index: int) -> str:
        if not self.is_hostile:
            return _numbered(PLAIN_NAMES[stream], index, " ")
        return draw.of(AWKWARD) if draw.take(8) == 0 else f"{draw.of(WORDS)} {index}"

    def text(self, draw: Draw) -> str:
        """Returns a text that may look like something else."""
        return draw.of(AWKWARD if self.is_hostile else PLAIN_TEXTS)

    def either(self, hostile: str, plain: str) -> str:
        return hostile if self.is_hostile else plain

    def coded_ids(self, purpose: str, length: int) -> Ids:
        """Returns ids made up by the API, with a few chosen by a customer."""
        coder = Coder(seed_key(self._seed, purpose + " id"), BASE32, length)

        def id_of(index: int, time_ms: int) -> str:
            if self._is_awkward(index) and index % 4 == 3:
                return AWKWARD_IDS[index - FIRST_AWKWARD_ID]
            return coder.text(index)

        def index_of(text: str) -> int | None:
            awkward = self._awkward_index(text)
            return coder.index(text) if awkward is None else awkward

        return id_of, index_of

    def slug_ids(self, stream: str) -> Ids:
        """Returns ids that customers choose."""
        return self._hostile_slugs(stream) if self.is_hostile else _plain_slugs(stream)

    def template_ids(self) -> Ids:
        old = Coder(seed_key(self._seed, "old template id"), BASE32, 28)
        new = Coder(seed_key(self._seed, "new template id"), BASE32.lower(), 26)

        def id_of(index: int, time_ms: int) -> str:
            return "nt_" + new.text(index) if index % 2 else old.text(index)

        def index_of(text: str) -> int | None:
            return new.index(text[3:]) if text.startswith("nt_") else old.index(text)

        return id_of, index_of

    def _hostile_slugs(self, stream: str) -> Ids:
        key = seed_key(self._seed, stream + " id")

        def id_of(index: int, time_ms: int) -> str:
            if self._is_awkward(index):
                return AWKWARD_IDS[index - FIRST_AWKWARD_ID]
            return f"{Draw(key, index).of(SLUGS)}-{index}"

        def index_of(text: str) -> int | None:
            digits = text.rpartition("-")[2]
            awkward = self._awkward_index(text)
            if awkward is None and digits.isascii() and digits.isdigit():
                return int(digits)
            return awkward

        return id_of, index_of

    def _is_awkward(self, index: int) -> bool:
        past = FIRST_AWKWARD_ID + len(AWKWARD_IDS)
        return self.is_hostile and FIRST_AWKWARD_ID <= index < past

    def _awkward_index(self, text: str) -> int | None:
        if not self.is_hostile or text not in AWKWARD_IDS:
            return None
        return FIRST_AWKWARD_ID + AWKWARD_IDS.index(text)


def _plain_slugs(stream: str) -> Ids:
    slugs = [name.lower().replace(" ", "-") for name in PLAIN_NAMES[stream]]

    def id_of(index: int, time_ms: int) -> str:
        return _numbered(slugs, index, "-")

    def index_of(text: str) -> int | None:
        if text in slugs:
            return slugs.index(text)
        slug, _, digits = text.rpartition("-")
        if slug in slugs and digits.isascii() and digits.isdigit():
            return slugs.index(slug) + (int(digits) - 1) * len(slugs)
        return None

    return id_of, index_of


def _numbered(names: tuple[str, ...] | list[str], index: int, separator: str) -> str:
    """Returns the name at an index; past the last one, names repeat with a number: Acme 2."""
    again, at = divmod(index, len(names))
    return names[at] if not again else f"{names[at]}{separator}{again + 1}"
