"""A file that a form sends, bounded."""

from fastapi import UploadFile

from web.pages.people import PageError

_NAME_CHARACTERS = 100


async def read(file: UploadFile | None, most_bytes: int) -> tuple[bytes, str]:
    """Return a file's bytes and its name.

    Args:
        file: as the form sent it; None where it sent none.
        most_bytes: a larger file is refused.

    Raises:
        PageError: there is no file, or it is too large.
    """
    if file is None or not file.filename:
        raise PageError(422, "no_file")
    content = await file.read(most_bytes + 1)
    if len(content) > most_bytes:
        raise PageError(413, "too_large")
    name = "".join(each for each in file.filename if each.isprintable())
    return content, name[-_NAME_CHARACTERS:]
