from dataclasses import dataclass

import pytest

from gsfnas.errors import UserError
from gsfnas.typed import to_settings


@dataclass(frozen=True)
class Settings:
    count: int = 1
    share: float = 0.5
    name: str = "a"
    root: str | None = None
    is_on: bool = False


def test_values_of_the_right_type_pass_and_the_rest_have_their_defaults():
    assert to_settings(Settings, {"count": 2, "root": "x", "is_on": True}, "s") == Settings(2, root="x", is_on=True)


def test_an_integer_is_a_number_and_may_be_a_name():
    settings = to_settings(Settings, {"share": 1, "name": 2026}, "s")
    assert (settings.share, type(settings.share), settings.name) == (1.0, float, "2026")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"count": "many"}, "`s.count` must be an integer, but got 'many'"),
        ({"count": 1.5}, "`s.count` must be an integer, but got 1.5"),
        ({"count": True}, "`s.count` must be an integer, but got True"),
        ({"share": "half"}, "`s.share` must be a number, but got 'half'"),
        ({"is_on": 1}, "`s.is_on` must be true or false, but got 1"),
        ({"root": [1]}, r"`s.root` must be a string or null, but got \[1\]"),
        ({"name": None}, "`s.name` must be a string, but got None"),
        ({"share": 10**400}, "`s.share` must be a number, but got 1000"),
        ({"share": 10**5000}, "`s.share` must be a number, but got a value of type int that is too large to be shown"),
        ({"name": 10**5000}, "`s.name` must be a string, but got a value of type int"),
        ({"count": 10**5000, "name": 1.5}, "`s.name` must be a string, but got 1.5"),
        ({"name": "a\0b"}, r"`s.name` must not hold the character NUL, but got 'a\\x00b'"),
        ({"root": {"a": [1] * 10**6}}, r"`s.root` must be a string or null, but got \{'a': \[1, 1, 1"),
        ({"coutn": 1}, "unknown setting 's.coutn'; did you mean 's.count'"),
    ],
)
def test_another_type_and_another_name_are_refused(values, message):
    with pytest.raises(UserError, match=message):
        to_settings(Settings, values, "s")
