"""What can be wrong with the user's input, said in one sentence. The command line prints it and exits with 2."""


class InputError(ValueError):
    """The input or the options are wrong.

    The message is one sentence that names the file or option, what is wrong, and what to do.
    """


class ScanError(InputError):
    """A file or a series cannot be read as a scan. The message is the `reason` in the manifest."""
