"""Compares the catalog with the types of Courier's official Python client ("the SDK")."""

import inspect
import types
import typing
from collections.abc import Iterator
from typing import Any

import pytest
from courier import types as client
from courier._models import BaseModel
from courier.types.audience_list_members_response import Item as AudienceMember
from courier.types.lists.subscription_list_response import Item as ListSubscription
from courier.types.message_details import MessageDetails
from courier.types.notification_list_response import ResultNotification
from courier.types.notification_metrics_response import SeriesData
from courier.types.notification_template_summary import NotificationTemplateSummary
from courier.types.preference_change_log_entry import PreferenceChangeLogEntry
from courier.types.shared.message_routing import MessageRouting
from courier.types.tenant_association import TenantAssociation
from courier.types.workspace_preference_get_response import WorkspacePreferenceGetResponse
from courier.types.workspace_preference_topic_get_response import (
    WorkspacePreferenceTopicGetResponse,
)

from courier_async.catalog.columns import SDK
from courier_async.catalog.streams import BY_TABLE

Path = tuple[str, ...]

# Without message_provider and message_event, which are free-form objects there.
RECORDS = {
    "brand": [client.Brand],
    "audience": [client.Audience],
    "audit_event": [client.AuditEvent],
    "list": [client.SubscriptionList],
    "message": [MessageDetails],
    "notification": [ResultNotification, NotificationTemplateSummary],
    "tenant": [client.Tenant],
    "preference_change": [PreferenceChangeLogEntry],
    "preference_section": [WorkspacePreferenceGetResponse],
    "subscription_topic": [WorkspacePreferenceTopicGetResponse],
    "list_subscription": [ListSubscription],
    "audience_member": [AudienceMember],
    "tenant_user": [TenantAssociation],
    "notification_metric": [SeriesData],
}
EVERY_RECORD = pytest.mark.parametrize(("table", "records"), RECORDS.items(), ids=list(RECORDS))
# Fields of the bucket that holds the counts.
ELSEWHERE = {"notification_metric": {("period",)}}


def fields(record: Any, path: Path = ()) -> Iterator[Path]:
    """Yields the paths of a model's fields, including nested ones."""
    if isinstance(record, typing.ForwardRef):
        record = MessageRouting
    if typing.get_origin(record) in (typing.Union, types.UnionType):
        for choice in typing.get_args(record):
            yield from fields(choice, path)
    elif inspect.isclass(record) and issubclass(record, BaseModel):
        for name, field in record.model_fields.items():
            yield from fields(field.annotation, (*path, field.alias or name))
    elif record is not type(None):
        yield path


def begins_with(path: Path, start: Path) -> bool:
    return path[: len(start)] == start


@EVERY_RECORD
def test_every_field_of_the_official_client_has_a_column_or_is_left_out(
    table: str, records: list[Any]
) -> None:
    stream = BY_TABLE[table]
    columns = [column.path for column in stream.columns if column.path]
    missing = {
        path
        for record in records
        for path in fields(record)
        if path[0] not in stream.left_out
        and not any(begins_with(path, column) for column in columns)
    }
    assert missing == set()


@EVERY_RECORD
def test_what_is_said_to_come_from_the_official_client_is_there(
    table: str, records: list[Any]
) -> None:
    declared = {path for record in records for path in fields(record)}
    declared |= ELSEWHERE.get(table, set())
    for column in BY_TABLE[table].columns:
        known = bool(column.path) and any(begins_with(path, column.path) for path in declared)
        assert known == (column.source == SDK), column.name
