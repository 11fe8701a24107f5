"""Random stories of payments, played against the real thing and against a small model of it.

`credits` and `model` say what has to come out, and `figures` what that is in money. `world` is a
database with the edge, the worker's parts and a sandbox; `driver`, `cover_driver` and `inbox` let
people, banks, workers and Stripe do things in it and tell the model. `actions` and `cover_actions`
are the things that can happen, `machine` lets the dice choose among them, and `checks` and
`cover_checks` compare.
"""
