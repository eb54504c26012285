"""Which names an operator may give to organizations and teams. Pure."""

import re

NAME_RULE = "1 to 128 of the characters A-Z a-z 0-9 . _ : @ - and not just dots"

_NAME = re.compile(r"(?!\.+\Z)[A-Za-z0-9._:@-]{1,128}")


def is_valid_slug(text: str) -> bool:
    """Whether an organization or team can have this name; what cannot be a name is simply not found.

    A name fits unescaped into a URL, a header, a log line and a pattern of the YAML. `.` and `..` do not: clients take
    them out of a URL before they send it.
    """
    return _NAME.fullmatch(text) is not None
