"""Which host a configuration names, by its region, by its base_url, or by both."""

import re

import pytest

from courier_async.settings import Settings

US, EU = "https://api.courier.com", "https://api.eu.courier.com"
OWN = "https://courier.example.com"


@pytest.mark.parametrize(
    ("given", "address"),
    [
        ({}, US),
        ({"region": ""}, US),
        ({"region": "US"}, US),
        ({"region": "EU"}, EU),
        ({"region": " eu "}, EU),
        ({"base_url": EU}, EU),
        ({"region": "", "base_url": OWN}, OWN),
        ({"region": "other", "base_url": OWN}, OWN),
        ({"region": "EU", "base_url": ""}, EU),
        ({"region": "EU", "base_url": EU + "/"}, EU),
    ],
)
def test_the_address_of_a_region_or_a_base_url(given: dict[str, str], address: str) -> None:
    assert Settings.from_configuration({"api_key": "k", **given}).base_url == address


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (
            {"region": "EU", "base_url": US},
            f"region is 'EU', but base_url is '{US}'. Empty base_url to use the region's own "
            "address, or set region to 'other' to use base_url.",
        ),
        ({"region": "US", "base_url": OWN}, f"region is 'US', but base_url is '{OWN}'."),
        ({"region": "other"}, "region is 'other', so base_url must hold the address."),
        ({"region": "Asia"}, "region is 'Asia'. Allowed: US, EU or other."),
        ({"region": 1}, 'region must be text in quotes, such as "EU".'),
    ],
)
def test_a_region_that_names_no_one_address_is_an_error(
    given: dict[str, object], says: str
) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(says)}"):
        Settings.from_configuration({"api_key": "k", **given})
