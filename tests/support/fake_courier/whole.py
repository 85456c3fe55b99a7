"""Answers that come in one piece: sections, metrics, one message and its history."""

from collections.abc import Callable, Iterator, Mapping

from tests.support.fake_courier.account import Account
from tests.support.fake_courier.details import history, providers
from tests.support.fake_courier.maker import Record
from tests.support.fake_courier.metrics import Window, metrics_body
from tests.support.fake_courier.options import Options
from tests.support.fake_courier.replies import Reply, error_reply, json_reply, made_reply
from tests.support.fake_courier.timeline import DAY_MS


class WholeAnswers:
    """Answers such requests, and computes which rows of them must land."""

    def __init__(self, account: Account, clock: Callable[[], float]) -> None:
        self._account = account
        self._clock = clock
        self._second, self._in_second = 0, 0

    def answer(
        self, stream: str, parent: str | None, query: Mapping[str, str], options: Options
    ) -> Reply:
        if stream in options.denied:
            return error_reply(options.denied[stream])
        if parent is None:
            return json_reply({"results": list(self._sections())})
        if stream == "notification_metric":
            return self._metrics(parent, query, options)
        message = self._account.get("message", parent)
        if message is None:
            return error_reply(404, f"Message {parent} not found")
        if stream == "message_provider":
            body = message | {"providers": providers(self._account.seed, message)}
            return json_reply(body)
        events = self._events(message, options)
        if events is None:
            return error_reply(404, f"History of {parent} not found")
        kind = query.get("type")
        return json_reply({"results": [e for e in events if kind in (None, e["type"])]})

    def truth(self, stream: str, options: Options) -> Iterator[Record]:
        """Yields the records of all parents listed now, with the fields that identify them.

        Metrics cover the last 30 days by day, with one record per period and provider.
        """
        account = self._account
        if stream == "notification_metric":
            window = Window({}, account.now_ms())
            for template in account.truth("notification"):
                yield from self._metric_rows(template, window)
            return
        for message in account.truth("message"):
            rows = providers(account.seed, message)
            if stream == "message_event":
                rows = self._events(message, options) or []
            for position, row in enumerate(rows):
                yield {"message_id": message["id"], "position": position, **row}

    def _sections(self) -> Iterator[Record]:
        topics = list(self._account.truth("subscription_topic"))
        for section in self._account.truth("preference_section"):
            own = [topic for topic in topics if topic["section_id"] == section["id"]]
            shown = [{k: v for k, v in topic.items() if k != "section_id"} for topic in own]
            yield section | {"topics": shown}

    # -- metrics -------------------------------------------------------------------------------

    def _metrics(self, template: str, query: Mapping[str, str], options: Options) -> Reply:
        if options.region != "US":
            return made_reply(404, {"message": "Not Found"}, {})
        limit = options.metrics_per_second
        headers = self._rate_headers(limit)
        if limit and self._in_second > limit:
            return made_reply(429, None, headers | {"Retry-After": "1"})
        try:
            window = Window(query, self._account.now_ms())
        except ValueError as error:
            body = {"message": str(error), "type": "invalid_params"}
            return made_reply(400, body, headers)
        if window.reaches_back.total_seconds() * 1000 > options.metrics_days * DAY_MS:
            body = {"message": "Beyond the plan's look-back", "type": "payment_required"}
            return made_reply(402, body, headers)
        record = self._account.get("notification", template)
        is_sent = record is not None and record.get("state") != "DRAFT"
        body = metrics_body(self._account.seed, template, window, is_sent=is_sent)
        return made_reply(200, body, headers)

    def _rate_headers(self, limit: int) -> dict[str, str]:
        """Returns how much of this second's rate is left, this request included."""
        second = int(self._clock())
        if second != self._second:
            self._second, self._in_second = second, 0
        self._in_second += 1
        left = max(0, limit - self._in_second)
        return {
            "RateLimit-Limit": str(limit),
            "RateLimit-Remaining": str(left),
            "RateLimit-Reset": "1",
        }

    def _metric_rows(self, template: Record, window: Window) -> Iterator[Record]:
        is_sent = template.get("state") != "DRAFT"
        body = metrics_body(self._account.seed, template["id"], window, is_sent=is_sent)
        for bucket in body["series"]:
            for row in bucket["data"]:
                yield {
                    "notification_id": template["id"],
                    "granularity": body["granularity"],
                    "period": bucket["period"],
                    **row,
                }

    # -- messages ------------------------------------------------------------------------------

    def _events(self, message: Record, options: Options) -> list[Record] | None:
        """Returns the events visible by now; None if the history is gone."""
        account = self._account
        events = history(account.seed, message, self._opens(message))
        now = account.now_ms()
        shown = [e for e in events if e["ts"] <= now - options.history_delay_seconds * 1000]
        if options.history_days:
            kept = [e for e in shown if e["ts"] >= now - options.history_days * DAY_MS]
            return None if shown and not kept else kept
        return shown

    def _opens(self, message: Record) -> list[int]:
        """Returns every time at which a message was opened; its record has only the last one."""
        if "opened" not in message:
            return []
        table = self._account.table("message")
        opens = table.past_values(table.find(message["id"]), "opened")
        earliest = opens[0]
        if earliest % 3 == 0:
            before = max(message.get(step, 0) for step in ("enqueued", "sent", "delivered"))
            opens.append((before + earliest) // 2)
        return sorted(at for at in set(opens) if at <= message["opened"])
