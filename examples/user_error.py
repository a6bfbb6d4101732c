"""What whoever gave the command can mend: told in a sentence, without a traceback."""


class UserError(ValueError):
    """Says what is wrong, what was received and what to do."""
