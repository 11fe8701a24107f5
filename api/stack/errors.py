"""The one exception for what can go wrong on a person's machine."""


class StackError(RuntimeError):
    """An expected failure: its text is one line that says what is wrong and what to do next."""
