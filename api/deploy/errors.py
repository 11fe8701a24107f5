"""What can go wrong in a deploy, said in one line."""


class DeployError(Exception):
    """An expected failure: its text says what is wrong and what to do next."""
