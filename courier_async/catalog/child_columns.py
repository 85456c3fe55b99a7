"""The columns of the further tables, in the order in which docs/schema.md lists them."""

from typing import Final

from courier_async.catalog.columns import ADDITIONAL_FIELDS, ANSWERS, CONNECTOR, DOCS, column
from courier_async.catalog.stream import Column, Type

STRING, BOOLEAN, LONG = Type.STRING, Type.BOOLEAN, Type.LONG
TIME, JSON = Type.UTC_DATETIME, Type.JSON

_MESSAGE_ID: Final = column(
    "message_id", STRING, "Id of the message.", source=CONNECTOR, refers_to="message"
)

PREFERENCE_CHANGE: Final[tuple[Column, ...]] = (
    column("id", STRING, "The change's id."),
    column("user_id", STRING, "Id of the user whose preference changed."),
    column("topic_id", STRING, "Id of the subscription topic.", refers_to="subscription_topic"),
    column("topic_name", STRING, "Name of the topic at the time of the change."),
    column(
        "status",
        STRING,
        "New status: `OPTED_IN`, `OPTED_OUT` or `REQUIRED`. An opt-out is a row whose `status` is "
        "`OPTED_OUT` and whose `previous_status` is not.",
    ),
    column("has_custom_routing", BOOLEAN, "Whether the user chose channels for the topic."),
    column("custom_routing", JSON, "List of the channels that the user chose."),
    column("timestamp", TIME, "When the preference changed."),
    column(
        "tenant_id",
        STRING,
        "Id of the tenant that the preference applies to; empty if it is the user's own.",
        refers_to="tenant",
    ),
    column("previous.status", STRING, "Status before the change; empty if there was none."),
    column(
        "previous.has_custom_routing",
        BOOLEAN,
        "Whether the user had chosen channels before the change.",
    ),
    column("previous.custom_routing", JSON, "List of the channels before the change."),
    ADDITIONAL_FIELDS,
)

PREFERENCE_SECTION: Final[tuple[Column, ...]] = (
    column("id", STRING, "The section's id."),
    column("name", STRING, "The section's name."),
    column("description", STRING, "The section's description."),
    column("has_custom_routing", BOOLEAN, "Whether users can choose channels in this section."),
    column("routing_options", JSON, "List of the channels that users can choose."),
    column("created", TIME, "When the section was created."),
    column("creator", STRING, "Id of the user who created it."),
    column("updated", TIME, "When the section last changed."),
    column("updater", STRING, "Id of the user who last changed it."),
    ADDITIONAL_FIELDS,
)

SUBSCRIPTION_TOPIC: Final[tuple[Column, ...]] = (
    column("id", STRING, "The topic's id."),
    column(
        "section_id",
        STRING,
        "Id of the section that holds the topic.",
        source=CONNECTOR,
        refers_to="preference_section",
    ),
    column("name", STRING, "The topic's name."),
    column("description", STRING, "The topic's description."),
    column(
        "default_status",
        STRING,
        "Status of users who did not choose: `OPTED_IN`, `OPTED_OUT` or `REQUIRED`.",
    ),
    column("routing_options", JSON, "List of the channels that users can choose."),
    column("allowed_preferences", JSON, "List of the preferences that users can set."),
    column(
        "include_unsubscribe_header",
        BOOLEAN,
        "Whether emails carry a header to unsubscribe from the topic.",
    ),
    column("topic_data", JSON, "Free-form data of the topic."),
    column("created", TIME, "When the topic was created."),
    column("creator", STRING, "Id of the user who created it."),
    column("updated", TIME, "When the topic last changed."),
    column("updater", STRING, "Id of the user who last changed it."),
    column(
        "digest.template_id",
        STRING,
        "Id of the template that sends the topic's digest.",
        refers_to="notification",
    ),
    column(
        "digest.audience_id",
        STRING,
        "Id of the audience of the topic's digest.",
        refers_to="audience",
    ),
    column("digest.trigger_empty", BOOLEAN, "Whether an empty digest is sent."),
    column("digest.created", TIME, "When the digest was set up."),
    column("digest.updated", TIME, "When the digest's settings last changed."),
    column("digest.schedules", JSON, "List of the digest's schedules."),
    column("digest.categories", JSON, "List of the digest's categories."),
    ADDITIONAL_FIELDS,
)

LIST_SUBSCRIPTION: Final[tuple[Column, ...]] = (
    column("list_id", STRING, "Id of the list.", source=CONNECTOR, refers_to="list"),
    column("recipientId", STRING, "Id of the subscribed user."),
    column("created", TIME, "When the user subscribed."),
    column(
        "preferences",
        JSON,
        "Preferences of this subscription, by `notifications` and `categories`.",
    ),
    ADDITIONAL_FIELDS,
)

AUDIENCE_MEMBER: Final[tuple[Column, ...]] = (
    column("audience_id", STRING, "Id of the audience.", refers_to="audience"),
    column("member_id", STRING, "Id of the user who belongs to it."),
    column("added_at", TIME, "When the user was added."),
    column("audience_version", LONG, "Version of the audience when the user was added."),
    ADDITIONAL_FIELDS,
)

TENANT_USER: Final[tuple[Column, ...]] = (
    column("tenant_id", STRING, "Id of the tenant.", refers_to="tenant"),
    column("user_id", STRING, "Id of the user who belongs to it."),
    column("type", STRING, "Always `user`."),
    ADDITIONAL_FIELDS,
)

NOTIFICATION_METRIC: Final[tuple[Column, ...]] = (
    column(
        "notification_id",
        STRING,
        "Id of the template.",
        source=CONNECTOR,
        refers_to="notification",
    ),
    column("granularity", STRING, "Length of the period: always `DAY`.", source=CONNECTOR),
    column("period", TIME, "Start of the UTC day."),
    column("provider", STRING, "Provider, such as `sendgrid`; `none` if Courier names none."),
    column("channel", STRING, "Channel, such as `email`; `none` if Courier names none."),
    column("sent", LONG, "Number of messages sent."),
    column("delivered", LONG, "Number of messages delivered."),
    column("opened", LONG, "Number of messages opened."),
    column("clicked", LONG, "Number of messages clicked."),
    column(
        "errors",
        LONG,
        "Number of failed attempts, even if another provider then succeeded.",
    ),
    column("undeliverable", LONG, "Number of messages that could not be delivered."),
    ADDITIONAL_FIELDS,
)

MESSAGE_PROVIDER: Final[tuple[Column, ...]] = (
    _MESSAGE_ID,
    column(
        "position",
        LONG,
        "Position of the attempt among the message's attempts, from 0.",
        source=CONNECTOR,
    ),
    column("provider", STRING, "Provider, such as `sendgrid`.", source=ANSWERS),
    column(
        "status",
        STRING,
        "Status of this attempt, such as `SENT`, `DELIVERED`, `OPENED`, `CLICKED`, `SIMULATED` or "
        "`UNDELIVERABLE`. If one attempt fails, another provider may deliver: for the message's "
        "result, see `message.status`.",
        source=ANSWERS,
    ),
    column("sent", TIME, "When Courier handed the message to the provider.", source=ANSWERS),
    column("delivered", TIME, "When the provider reported delivery.", source=ANSWERS),
    column("opened", TIME, "When the message was last opened.", source=ANSWERS),
    column("clicked", TIME, "When a link in the message was clicked.", source=ANSWERS),
    column("error", STRING, "Error text of a failed attempt.", source=ANSWERS),
    column(
        "channel.key",
        STRING,
        "Channel, usually with its provider, such as `email:sendgrid`; the channel is the part "
        "before the colon. Often missing: then take it from other attempts of the same provider.",
        source=DOCS,
    ),
    column("channel.name", STRING, "Name of the channel in the template.", source=ANSWERS),
    column("channel.template", STRING, "Id of the channel in the template.", source=ANSWERS),
    ADDITIONAL_FIELDS,
)

MESSAGE_EVENT: Final[tuple[Column, ...]] = (
    _MESSAGE_ID,
    column(
        "position",
        LONG,
        "Position of the event in the message's history, from 0.",
        source=CONNECTOR,
    ),
    column(
        "type", STRING, "What happened, such as `ENQUEUED`, `SENT` or `OPENED`.", source=ANSWERS
    ),
    column("ts", TIME, "When it happened.", source=ANSWERS),
    column("channel.id", STRING, "Id of the channel in the template.", source=ANSWERS),
    column("channel.label", STRING, "Label of the channel in the template.", source=ANSWERS),
    column("integration.id", STRING, "Id of the provider's integration.", source=ANSWERS),
    column("integration.provider", STRING, "Provider, such as `sendgrid`.", source=ANSWERS),
    column("output", JSON, "API paths of the rendered content.", source=ANSWERS),
    column("event_id", STRING, "Event that was mapped to a template.", source=ANSWERS),
    column(
        "notification_id",
        STRING,
        "Template that the event was mapped to.",
        source=ANSWERS,
        refers_to="notification",
    ),
    column("reason", STRING, "Why the message failed.", source=ANSWERS),
    column("reasonCode", STRING, "Kind of bounce: `HARD` or `SOFT`.", source=ANSWERS),
    column("error_message", STRING, "Error text from the provider.", source=ANSWERS),
    ADDITIONAL_FIELDS,
)
