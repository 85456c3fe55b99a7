"""Simulated disasters: whole syncs in virtual time, from one seed, against the fake API.

`source` is the account and its history, `destination` what Fivetran would hold, `plan` what a
seed decides, `seam` the transport and the worker, `seed` one seed from its first sync to the
verdict. What a checkpoint may claim, and what must have landed, stands in `oracle`, and that of
children in `child_oracle`.
"""
