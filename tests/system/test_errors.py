import inspect

import pytest

from alkit import errors


def test_the_tree_in_the_docstring_lists_every_error_and_no_other():
    defined = {
        name for name, thing in inspect.getmembers(errors, inspect.isclass) if thing.__module__ == errors.__name__
    }
    drawn = {word for line in errors.__doc__.splitlines() for word in line.split() if word.endswith("Error")}
    assert drawn == defined
    assert all(issubclass(getattr(errors, name), errors.AlkitError) for name in defined)


def test_a_message_says_what_is_wrong_what_was_found_and_what_to_try():
    message = str(errors.AlkitError("it failed", got=0, expected="more", hint="this"))
    assert message == "it failed: got 0, expected more. Try: this."


@pytest.mark.parametrize(
    ("kind", "builtin"), [(errors.DataError, ValueError), (errors.MissingDependencyError, ImportError)]
)
def test_errors_can_be_caught_as_builtin_errors(kind, builtin):
    assert issubclass(kind, builtin)
