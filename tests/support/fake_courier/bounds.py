"""The time bounds that a listing request may set."""

from collections.abc import Mapping
from datetime import UTC, datetime

from tests.support.fake_courier.options import Options
from tests.support.fake_courier.replies import Refused, error_reply


def newer_than_ms(stream: str, query: Mapping[str, str], options: Options) -> int | None:
    """Returns the bound in epoch ms that `enqueued_after` sets, as far as the options allow it."""
    if stream == "preference_change":
        return _since_ms(query)
    text = query.get("enqueued_after")
    if stream != "message" or text is None or options.enqueued_after == "ignored":
        return None
    is_ms = text.isascii() and text.isdigit()
    if options.enqueued_after not in ("refused", "refuse_ms" if is_ms else "refuse_iso"):
        try:
            return int(text) if is_ms else round(datetime.fromisoformat(text).timestamp() * 1000)
        except ValueError:
            pass
    raise Refused(error_reply(400, "Invalid enqueued_after"))


def _since_ms(query: Mapping[str, str]) -> int | None:
    """Returns the preference log's bound. `since` is inclusive: an ISO date or date-time, UTC."""
    if "since" not in query:
        return None
    try:
        since = datetime.fromisoformat(query["since"])
    except ValueError:
        raise Refused(error_reply(400, "Invalid since")) from None
    aware = since if since.tzinfo else since.replace(tzinfo=UTC)
    return round(aware.timestamp() * 1000) - 1
