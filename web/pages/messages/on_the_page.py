"""What a message waits for, said for a person on the page: its own acts instead of the commands of a terminal."""

from typing import Final

from worker.alerting.wording import Language

_BY_THE_PAGE: Final[dict[Language, tuple[tuple[str, str], ...]]] = {
    "es": (
        ("smsclick resume lo reanuda", "en Operar se reanuda"),
        ("(smsclick retry)", "(«Reintentar»)"),
        ("solo una persona puede decidirlo: smsclick settle", "solo una persona puede decidirlo, en esta página"),
        ("smsclick callbacks replay llama otra vez", "en Operar, Avisos, se llama otra vez"),
        ("decida a mano: smsclick settle ID --accepted ID_MENSAJE o --not-accepted", "decida a mano en esta página"),
    ),
    "en": (
        ("smsclick resume lifts this", "Operate resumes it"),
        ("(smsclick retry)", "(“Retry”)"),
        ("only a person can decide: smsclick settle", "only a person can decide, on this page"),
        ("smsclick callbacks replay calls once more", "Operate, Callbacks, calls once more"),
        (
            "decide each by hand: smsclick settle ID --accepted ID_MENSAJE or --not-accepted",
            "decide by hand on this page",
        ),
    ),
}


def on_the_page(sentence: str, language: Language) -> str:
    """Return a sentence with the page's acts where it names commands that the page has as well.

    Args:
        sentence: what a message waits for, in our words; what others wrote in it comes after.
        language: of the sentence.
    """
    for command, act in _BY_THE_PAGE[language]:
        sentence = sentence.replace(command, act)
    return sentence
