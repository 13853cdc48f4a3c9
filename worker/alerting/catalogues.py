"""The catalogue of each language."""

from typing import Final

from worker.alerting import english, spanish
from worker.alerting.wording import DEFAULT_LANGUAGE, Catalogue

_CATALOGUES: Final = {"en": english.CATALOGUE, "es": spanish.CATALOGUE}


def catalogue(language: str) -> Catalogue:
    """The words of a language; those of the default one for a language that has none."""
    return _CATALOGUES.get(language, _CATALOGUES[DEFAULT_LANGUAGE])
