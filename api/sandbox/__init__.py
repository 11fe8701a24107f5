"""A small server that behaves like Stripe, for local runs and tests.

It speaks real HTTP, so the same client, the same webhooks and the same failures are exercised
with and without a key. No money moves, and it refuses live keys.

One resource is one module with a list named OPERATIONS; `stripe.py` collects them. To add one,
write the module and name it there.
"""

from pathlib import Path

TEMPLATES = Path(__file__).parent / "templates"


class SandboxError(Exception):
    """The sandbox cannot start; the text is one line that says what to do."""
