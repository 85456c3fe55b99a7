"""The columns of the seven core tables, in the order in which docs/schema.md lists them."""

from typing import Final

from courier_async.catalog.columns import (
    ADDITIONAL_FIELDS,
    ANSWERS,
    DOCS,
    column,
    first_of,
)
from courier_async.catalog.stream import Column, Type

STRING, BOOLEAN, TIME, JSON = Type.STRING, Type.BOOLEAN, Type.UTC_DATETIME, Type.JSON

BRAND: Final[tuple[Column, ...]] = (
    column("id", STRING, "The brand's id."),
    column("name", STRING, "The brand's name."),
    column("created", TIME, "When the brand was created."),
    column("updated", TIME, "When the brand last changed."),
    column("published", TIME, "When the brand was last published; empty if it never was."),
    column("version", STRING, "The published version, usually an ISO time."),
    column("snippets.items", JSON, "List of snippets, each with `name` and `value`."),
    column("settings.colors.primary", STRING, "Primary color, such as `#9D3789`."),
    column("settings.colors.secondary", STRING, "Secondary color."),
    column("settings.email.header.logo.href", STRING, "Link target of the logo in emails."),
    column("settings.email.header.logo.image", STRING, "URL of the logo's image."),
    column("settings.email.header.barColor", STRING, "Color of the bar at the top of emails."),
    column(
        "settings.email.header.inheritDefault",
        BOOLEAN,
        "Whether emails use the header of the default brand.",
    ),
    column("settings.email.head.content", STRING, "Content of the HTML head of emails."),
    column(
        "settings.email.head.inheritDefault",
        BOOLEAN,
        "Whether emails use the HTML head of the default brand.",
    ),
    column("settings.email.footer.content", STRING, "Footer of emails.", source=DOCS),
    column("settings.email.footer.markdown", STRING, "Footer of emails, in Markdown."),
    column(
        "settings.email.footer.inheritDefault",
        BOOLEAN,
        "Whether emails use the footer of the default brand.",
    ),
    column("settings.email.footer.social.facebook.url", STRING, "Facebook link in the footer."),
    column("settings.email.footer.social.instagram.url", STRING, "Instagram link in the footer."),
    column("settings.email.footer.social.linkedin.url", STRING, "LinkedIn link in the footer."),
    column("settings.email.footer.social.medium.url", STRING, "Medium link in the footer."),
    column("settings.email.footer.social.twitter.url", STRING, "Twitter link in the footer."),
    column(
        "settings.email.templateOverride",
        JSON,
        "Custom email template of the brand, with `enabled`, `mjml` and `width`.",
    ),
    column("settings.inapp.colors.primary", STRING, "Primary color of the inbox."),
    column("settings.inapp.colors.secondary", STRING, "Secondary color of the inbox."),
    column("settings.inapp.icons.bell", STRING, "Bell icon of the inbox."),
    column("settings.inapp.icons.message", STRING, "Message icon of the inbox."),
    column(
        "settings.inapp.widgetBackground.topColor", STRING, "Upper background color of the inbox."
    ),
    column(
        "settings.inapp.widgetBackground.bottomColor",
        STRING,
        "Lower background color of the inbox.",
    ),
    column("settings.inapp.borderRadius", STRING, "Border radius of the inbox, such as `8px`."),
    column(
        "settings.inapp.disableMessageIcon", BOOLEAN, "Whether messages are shown without an icon."
    ),
    column("settings.inapp.fontFamily", STRING, "Font of the inbox."),
    column(
        "settings.inapp.placement",
        STRING,
        "Position of the inbox: `top`, `bottom`, `left` or `right`.",
    ),
    column(
        "settings.inapp.preferences.templateIds",
        JSON,
        "List of ids of the templates that users can opt out of in the inbox.",
        source=DOCS,
    ),
    ADDITIONAL_FIELDS,
)

AUDIENCE: Final[tuple[Column, ...]] = (
    column("id", STRING, "The audience's id, chosen by its creator."),
    column("name", STRING, "The audience's name; may be an empty string."),
    column("description", STRING, "The audience's description; may be an empty string."),
    column("created_at", TIME, "When the audience was created."),
    column("updated_at", TIME, "When the audience's definition last changed."),
    column("operator", STRING, "`AND` or `OR` between the conditions; repeats `filter.operator`."),
    column(
        "filter",
        JSON,
        "Who belongs to the audience: one condition (`operator`, `path`, `value`) or a group "
        "(`operator`, `filters`), in which groups can be nested.",
    ),
    ADDITIONAL_FIELDS,
)

AUDIT_EVENT: Final[tuple[Column, ...]] = (
    column("auditEventId", STRING, "The event's id."),
    column("timestamp", TIME, "When the event happened."),
    column("type", STRING, "What happened, as `noun:verb`, such as `user:role-changed`."),
    column("source", STRING, "Where the action was taken, such as `courier.studio` or `api`."),
    column("actor.id", STRING, "Id of the user or API key that took the action."),
    column("actor.email", STRING, "Email address of that user."),
    column("target", STRING, "Id of the affected object, if Courier sends it as text."),
    column(
        "target.id",
        STRING,
        "Id of the affected object, if Courier sends an object.",
        source=DOCS,
    ),
    column("target.email", STRING, "Email address of the affected user.", source=DOCS),
    column("workspaceId", STRING, "Id of the workspace.", source=ANSWERS),
    ADDITIONAL_FIELDS,
)

LIST: Final[tuple[Column, ...]] = (
    column("id", STRING, "The list's id, chosen by its creator, such as `eng.beta-testers`."),
    column("name", STRING, "The list's name."),
    column("created", TIME, "When the list was created."),
    column("updated", TIME, "When the list last changed."),
    column(
        "preferences",
        JSON,
        "Default preferences of the list's subscribers, by `notifications` and `categories`.",
        source=DOCS,
    ),
    ADDITIONAL_FIELDS,
)

MESSAGE: Final[tuple[Column, ...]] = (
    column("id", STRING, "The message's id: one message, sent to one recipient."),
    column(
        "status",
        STRING,
        "Current status, such as `ENQUEUED`, `SENT`, `DELIVERED`, `OPENED`, `CLICKED`, "
        "`UNDELIVERABLE` or `CANCELED`.",
    ),
    column("enqueued", TIME, "When Courier accepted the message."),
    column("sent", TIME, "When Courier handed the message to a provider."),
    column(
        "delivered",
        TIME,
        "When the provider reported delivery; some providers never do, even for messages "
        "that are opened.",
    ),
    column(
        "opened",
        TIME,
        "When the message was last opened. Courier tracks opens of email and inbox messages only.",
    ),
    column("clicked", TIME, "When a link in the message was clicked."),
    column("canceledAt", TIME, "When the message was canceled.", source=ANSWERS),
    column("recipient", STRING, "User id, or the email address or phone number it was sent to."),
    column(
        "recipientId",
        STRING,
        "User id; `anon_...` for an email address or phone number without a user.",
        source=ANSWERS,
    ),
    column("event", STRING, "Event or template that the message was sent with."),
    column(
        "notification",
        STRING,
        "Id of the template; empty for messages sent without one.",
        refers_to="notification",
    ),
    column("error", STRING, "Error text of a message that failed."),
    column(
        "reason",
        STRING,
        "Why the message failed, such as `BOUNCED`, `UNSUBSCRIBED` or `FILTERED`.",
    ),
    column("reasonCode", STRING, "Kind of bounce: `HARD` or `SOFT`.", source=ANSWERS),
    column("reasonDetails", STRING, "Details of the reason.", source=ANSWERS),
    column(
        "listId",
        STRING,
        "Id of the list that the message was sent to.",
        source=ANSWERS,
        refers_to="list",
    ),
    column(
        "listMessageId",
        STRING,
        "Id shared by all messages of one send to a list.",
        source=ANSWERS,
    ),
    column("idempotencyKey", STRING, "Idempotency key of the send request.", source=ANSWERS),
    column("runId", STRING, "Id of the automation run that sent the message.", source=ANSWERS),
    column("jobId", STRING, "Id of the bulk job that sent the message.", source=ANSWERS),
    ADDITIONAL_FIELDS,
)

NOTIFICATION: Final[tuple[Column, ...]] = (
    column("id", STRING, "The template's id; `nt_...` for newer templates."),
    first_of(
        "template_name",
        ("name", "title"),
        STRING,
        "The template's name, for newer and legacy templates: `name`, else `title`.",
    ),
    first_of(
        "template_created_at",
        ("created", "created_at"),
        TIME,
        "When the template was created, for newer and legacy templates: `created`, else "
        "`created_at`.",
    ),
    first_of(
        "template_updated_at",
        ("updated", "updated_at"),
        TIME,
        "When the template last changed, for newer and legacy templates: `updated`, else "
        "`updated_at`.",
    ),
    column("name", STRING, "Name of a newer template."),
    column("title", STRING, "Name of a legacy template."),
    column("created", TIME, "When a newer template was created."),
    column("created_at", TIME, "When a legacy template was created."),
    column("updated", TIME, "When a newer template last changed; empty until it is edited."),
    column("updated_at", TIME, "When a legacy template last changed."),
    column("state", STRING, "`DRAFT` or `PUBLISHED`; newer templates only."),
    column("creator", STRING, "Id of the user who created it; newer templates only."),
    column("updater", STRING, "Id of the user who last changed it; newer templates only."),
    column("topic_id", STRING, "Id of its subscription topic.", refers_to="subscription_topic"),
    column(
        "subscription_topic_id",
        STRING,
        "Id of its subscription topic; newer templates only.",
        refers_to="subscription_topic",
    ),
    column(
        "tags",
        JSON,
        'Tags: a list of strings for newer templates, `{"data": [{"id", "name"}]}` for legacy '
        "ones.",
    ),
    column("event_ids", JSON, "List of the events that send it; legacy templates only."),
    column("routing.method", STRING, "`all` or `single`; legacy templates only."),
    column(
        "routing.channels",
        JSON,
        "List of channels in order, with nested routing; legacy templates only.",
    ),
    column("note", STRING, "Note on the template; legacy templates only."),
    ADDITIONAL_FIELDS,
)

TENANT: Final[tuple[Column, ...]] = (
    column("id", STRING, "The tenant's id, chosen by its creator."),
    column("name", STRING, "The tenant's name."),
    column("parent_tenant_id", STRING, "Id of the parent tenant.", refers_to="tenant"),
    column("brand_id", STRING, "Id of the tenant's brand.", refers_to="brand"),
    column(
        "default_preferences.items",
        JSON,
        "List of the default preferences of the tenant's users, by subscription topic.",
    ),
    column("properties", JSON, "Free-form properties of the tenant."),
    column("user_profile", JSON, "Free-form profile fields that the tenant's users share."),
    ADDITIONAL_FIELDS,
)
