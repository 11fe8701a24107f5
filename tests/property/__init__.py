"""Random stories of payments, played against the real thing and against a small model of it.

`model` says what has to come out, `stripe_side` what Stripe must hold. `world` is a database, the
edge, the worker's parts and a sandbox; `driver` lets people and Stripe do things in it and tells
the model; `machine` chooses what happens next.
"""
