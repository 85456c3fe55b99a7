"""Records of messages: their status, the times that lead to it, and their recipients."""

from collections.abc import Callable
from functools import lru_cache

from tests.support.fake_courier.drawing import Draw, Scramble, seed_key
from tests.support.fake_courier.maker import Maker, Record
from tests.support.fake_courier.names import AWKWARD, Names
from tests.support.fake_courier.timeline import DAY_MS

# Final statuses that are reached at once, with the other fields of such a row.
DEAD_ENDS: tuple[tuple[str, Record], ...] = (
    ("UNDELIVERABLE", {"error": "Notification opted out by user", "reason": "UNSUBSCRIBED"}),
    ("UNDELIVERABLE", {"error": "550 No such user", "reason": "BOUNCED", "reasonCode": "HARD"}),
    ("UNROUTABLE", {"error": "No valid routes", "reason": "NO_CHANNELS"}),
    ("UNMAPPED", {"error": "Event not mapped", "reason": "UNPUBLISHED"}),
    ("FILTERED", {"reason": "FILTERED"}),
    ("THROTTLED", {}),
    ("DIGESTED", {}),
    ("DELAYED", {}),
    ("ROUTED", {}),
    ("SIMULATED", {}),
)


def message_maker(seed: int, names: Names, template_id: Callable[[int, int], str]) -> Maker:
    """Returns the maker of messages, each as far advanced as it can be."""
    key = seed_key(seed, "message")
    scramble = Scramble(seed_key(seed, "message id"), 96)
    templates = [template_id(index, 0) for index in range(12)]

    def id_of(index: int, time_ms: int) -> str:
        return f"1-{time_ms // 1000:08x}-{scramble.forward(index):024x}"

    def index_of(text: str) -> int | None:
        tail = text.rpartition("-")[2]
        try:
            return scramble.backward(int(tail, 16)) if len(tail) == 24 else None
        except ValueError:
            return None

    @lru_cache(maxsize=512)  # A small account's are read again in each sync and each check.
    def made(index: int, time_ms: int, as_of_ms: int) -> Record:
        draw = Draw(key, index)
        message: Record = {
            "id": id_of(index, time_ms), "status": "ENQUEUED", "enqueued": time_ms,
        }  # fmt: skip
        fate = draw.take(100)
        if fate < 80:
            message |= _progress(draw, time_ms, as_of_ms)
        elif fate < 82:
            message |= {"status": "CANCELED", "canceledAt": min(time_ms + 5000, as_of_ms)}
        elif fate < 96:
            message["status"], extra = draw.of(DEAD_ENDS)
            message |= extra
        _address(message, draw, index, templates, names)
        return message

    def record(index: int, time_ms: int, as_of_ms: int) -> Record:
        # None of its values is mutable, so a shallow copy is enough.
        return made(index, time_ms, as_of_ms).copy()

    return Maker(id_of, index_of, record)


def _progress(draw: Draw, time_ms: int, as_of_ms: int) -> Record:
    """Returns a message's status by `as_of_ms` and the times that lead to it."""
    sent = time_ms + 300 + draw.take(3000)
    if sent > as_of_ms:
        return {}
    reached: Record = {"status": "SENT", "sent": sent}
    delivered = sent + 500 + draw.take(60_000)
    reports_delivery = draw.take(5) > 0  # some providers never do, even for opened messages
    if reports_delivery and delivered <= as_of_ms:
        reached |= {"status": "DELIVERED", "delivered": delivered}
    opened = delivered + (draw.take(DAY_MS) if draw.take(4) else draw.take(16 * DAY_MS))
    if draw.take(2) and opened <= as_of_ms:
        reached |= {"status": "OPENED", "opened": opened}
        clicked = opened + 1000 + draw.take(600_000)
        if draw.take(3) == 0 and clicked <= as_of_ms:
            reached |= {"status": "CLICKED", "clicked": clicked}
    return reached


def _address(message: Record, draw: Draw, index: int, templates: list[str], names: Names) -> None:
    user = draw.take(20_000)
    kind = draw.take(16)
    if kind < 9:
        message["recipient"] = message["recipientId"] = f"user-{user}"
    else:
        address = f"ana{user}@acme.example"
        ad_hoc = (address, f"1555{1000000 + user}", names.either(AWKWARD[user % 10], address))
        message["recipient"] = ad_hoc[0 if kind < 12 else 1 if kind < 15 else 2]
        message["recipientId"] = f"anon_{user:021d}"
    if draw.take(20):
        template = draw.of(templates)
        message["event"] = draw.of((template, template, "welcome-email"))
        if message["status"] != "UNMAPPED":
            message["notification"] = template
    extra = draw.take(20)
    if extra < 3:
        message["listId"] = names.either("eng.beta-testers", "beta-testers")
        message["listMessageId"] = message["id"][:-24] + f"{user:024x}"
    elif extra == 3:
        message["idempotencyKey"] = draw.of((names.either("007", "order-7"), f"key-{index}"))
    elif extra == 4:
        message["runId"] = f"run-{index}"
    elif extra == 5:
        message["jobId"] = f"1-job-{user}"
