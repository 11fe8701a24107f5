"""The expected failure of a benchmark."""


class BenchError(Exception):
    """What went wrong and what to do, in one line."""
