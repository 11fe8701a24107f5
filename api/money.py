"""Amounts as people write them."""


def dollars(cents: float) -> str:
    """An amount in cents; what is below a cent is shown only where there is something."""
    digits = 2 if cents == int(cents) else 6
    return f"{'-' if cents < 0 else ''}${abs(cents) / 100:,.{digits}f}"
