"""The fields of the setup form match the settings that they fill."""

import dataclasses

from courier_async.settings import OPTIONS, Settings
from courier_async.setup.form import FIELDS, Kind


def test_the_form_asks_for_every_setting_and_for_nothing_else() -> None:
    # A custom address is for tests and proxies, not for a form.
    assert sorted(field.name for field in FIELDS) == sorted(OPTIONS.keys() - {"base_url"})
    assert [field.name for field in FIELDS if field.required] == ["api_key"]
    assert [field.name for field in FIELDS if field.kind is Kind.PASSWORD] == ["api_key"]


def test_the_form_tells_the_default_of_every_number() -> None:
    defaults = {field.name: field.default for field in dataclasses.fields(Settings)}
    told = {field.name: field.description for field in FIELDS}
    numbers = [name for name, default in defaults.items() if type(default) in (int, float)]
    assert len(numbers) == 6
    for name in numbers:
        assert told[name].endswith(f" Default: {defaults[name]:g}."), name


def test_every_choice_of_the_form_is_one_that_the_settings_take() -> None:
    for field in FIELDS:
        for value, _ in field.choices:
            _, parse = OPTIONS[field.name]
            parse(field.name, value)
