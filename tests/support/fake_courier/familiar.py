"""`python -m tests.support.fake_courier.familiar`: the fake API with names that people recognise.

The demo runs this one. Names and ids that are hard to store belong in tests.
"""

from tests.support.fake_courier import records
from tests.support.fake_courier.__main__ import main

if __name__ == "__main__":
    records.AWKWARD = (
        "Acme", "Globex", "Initech", "Umbrella", "Hooli", "Stark Industries", "Wayne Enterprises",
        "Wonka", "Soylent", "Tyrell",
    )  # fmt: skip
    records.AWKWARD_IDS = ()
    records.WORDS = (
        "Welcome", "Invoice", "Weekly digest", "Premium", "Beta testers", "Password reset",
        "Order shipped", "Trial ending", "Newsletter", "Onboarding",
    )  # fmt: skip
    records.SLUGS = ("engineering", "sales", "support", "acme-eu", "acme-us", "partners")
    main()
