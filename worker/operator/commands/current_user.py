"""Name the person who runs a command."""

import os
import pwd


def current_user() -> str:
    """Return the name that the operating system gives to the user of this process."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container can run as a user without a name
        return f"user {os.getuid()}"
