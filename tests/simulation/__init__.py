"""Simulated disasters: whole syncs in virtual time, from one seed, against the fake API.

`source` is the account and its history, `destination` what Fivetran would hold, `plan` what a seed
decides, `seam` the transport and the worker, `seed` one seed from its first sync to the verdict.
`claims` checks what a checkpoint claims, `oracle` what must have landed, and `child_oracle` both
for children.
"""
