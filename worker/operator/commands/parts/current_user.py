"""Name the person who runs a command."""

import os
import pwd
import socket


def current_user() -> str:
    """Return `user@host`, as the operating system names the user of this process and this machine."""
    try:
        name = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container can run as a user without a name
        name = f"uid-{os.getuid()}"
    return f"{name}@{socket.gethostname()}"
