"""The page's texts in each language: catalogues as data, chosen for each request.

Spanish by default (`SMSCLICK_LANGUAGE`); English where the person chose it, or where the browser prefers it.
"""

from collections.abc import Mapping
from typing import Any, Final

from fastapi import Request

from smsclick._values.refusals import Refusal
from web.pages import english, spanish
from web.pages.operate import english as operate_english
from web.pages.operate import refusals
from web.pages.operate import spanish as operate_spanish
from worker.alerting.wording import DEFAULT_LANGUAGE, Language

LANGUAGE_COOKIE: Final = "smsclick-language"
LANGUAGES: Final[Mapping[Language, Mapping[str, str]]] = {
    "es": spanish.TEXTS | operate_spanish.TEXTS,
    "en": english.TEXTS | operate_english.TEXTS,
}


class Words:
    """The texts of one language, for templates: `t("nav.now")`, `t("flash.cancelled", count=3)`.

    Args:
        language: whose texts.
    """

    def __init__(self, language: Language) -> None:
        self.language: Language = language
        self._texts = LANGUAGES[language]

    def __call__(self, code: str, **values: Any) -> str:  # noqa: ANN401 - whatever a text shows
        """Return a text with its placeholders filled; the template escapes it.

        Raises:
            KeyError: the catalogue has no such text, or a placeholder has no value.
        """
        return self._texts[code].format_map(values)

    def refusal(self, refusal: Refusal) -> str:
        """Return why a line or a file is refused."""
        return refusal.text(refusals.SENTENCES[self.language])

    def has(self, code: str) -> bool:
        """Whether there is such a text."""
        return code in self._texts


def words_of(request: Request) -> Words:
    """Return the texts for a request: the person's choice, else the browser's, else the installation's language."""
    chosen = request.cookies.get(LANGUAGE_COOKIE)
    default: Language = getattr(request.app.state, "language", DEFAULT_LANGUAGE)
    return Words(known(chosen) or preferred(request.headers.get("Accept-Language", "")) or default)


def known(language: str | None) -> Language | None:
    """Return a language that has texts; None for any other."""
    return next((each for each in LANGUAGES if each == language), None)


def preferred(accepted: str) -> Language | None:
    """Return the first language with texts that a browser names; None where it names none.

    Args:
        accepted: the header `Accept-Language`.
    """
    ranked: list[tuple[float, int, str]] = []
    for place, part in enumerate(accepted[:1000].split(",")):
        tag, _, parameters = part.strip().partition(";")
        quality = 1.0
        name, _, value = parameters.strip().partition("=")
        if name == "q":
            try:
                quality = float(value)
            except ValueError:
                quality = 0.0
        if quality > 0:
            ranked.append((-quality, place, tag.split("-")[0].lower()))
    return next((language for *_, tag in sorted(ranked) if (language := known(tag)) is not None), None)
