"""What can be wrong with the user's input, said in one sentence. The command line prints it and exits with 2."""


class InputError(ValueError):
    """The input or the options are wrong.

    The message is one sentence that names the file or option, what is wrong, and what to do.
    """


def yaml_fault(error: Exception) -> str:
    """Why a file is not YAML, in one line, with the number of the line where the parser says it."""
    mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
    return f"line {mark.line + 1}, {problem}" if mark and problem else str(error).splitlines()[0]


class ScanError(InputError):
    """A file or a series cannot be read as a scan. The message is the `reason` in the manifest."""
