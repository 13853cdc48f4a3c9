"""Why a line of a file is refused, in the reader's language.

The reasons come in English from the functions that the command line and the API use, where they are part of the
contract. Each is found here by its words, and what differs from line to line is put into the other language's words.
"""

import re
from typing import Final, NamedTuple

from worker.alerting.wording import Language


class Reason(NamedTuple):
    """A reason and the language of its words."""

    text: str
    language: Language


_HINTS: Final = {
    "give ten digits, for example 5551402211 or +52 55 5140 2211": "escriba diez dígitos, por ejemplo 5551402211 o "
    "+52 55 5140 2211",
    "write celery:app.tasks.sms_changed@queue or https://example.com/sms": "escriba "
    "celery:app.tasks.sms_changed@queue o https://example.com/sms",
    "write ISO 8601, like 2026-12-01T09:30:00-06:00": "escriba ISO 8601, como 2026-12-01T09:30:00-06:00",
    "save the file as UTF-8 (in Excel: CSV UTF-8)": "guarde el archivo como UTF-8 (en Excel: CSV UTF-8)",
}
_IN_SPANISH: Final = {
    "the phone {phone} is a toll-free or premium number, which no SMS reaches": (
        "el teléfono {phone} es un número sin costo o de tarifa especial, al que no llega ningún SMS"
    ),
    "the phone {phone} is not in use in Mexico's numbering plan: {hint}": (
        "el teléfono {phone} no está en uso en el plan de numeración de México: {hint}"
    ),
    "the phone is empty: {hint}": "el teléfono está vacío: {hint}",
    "the phone must be text or a whole number, not {kind}: {hint}": (
        "el teléfono va como texto o número entero, no {kind}: {hint}"
    ),
    "the phone {phone} is not a number: {hint}": "el teléfono {phone} no es un número: {hint}",
    "the phone {phone} is not a Mexican number: {hint}": "el teléfono {phone} no es un número mexicano: {hint}",
    "the phone {phone} is written as an amount, and digits of it may be lost: make its column text "
    "before you save the file": (
        "el teléfono {phone} está escrito como cantidad y puede haber perdido dígitos: dé a su columna el "
        "formato de texto antes de guardar el archivo"
    ),
    "the phone {phone} can be read in several ways (an extension, a second number?): {hint}": (
        "el teléfono {phone} se puede leer de varias maneras (¿una extensión, un segundo número?): {hint}"
    ),
    "the text must be text, not {kind}": "el texto va como texto, no {kind}",
    "the text shows nothing: give at least one visible character": (
        "el texto no muestra nada: escriba al menos un carácter visible"
    ),
    "the text is empty: give at least one visible character": (
        "el texto está vacío: escriba al menos un carácter visible"
    ),
    "the text has {count} characters: shorten it to {most}": ("el texto tiene {count} caracteres: redúzcalo a {most}"),
    "the text holds the character {character} at position {place}, which no phone can show: remove it (a "
    "wrong encoding is a common cause)": (
        "el texto tiene el carácter {character} en la posición {place}, que ningún teléfono muestra: quítelo "
        "(una codificación equivocada es una causa común)"
    ),
    "the key {key} comes twice in this file, with another phone or text": (
        "la clave {key} está dos veces en este archivo, con otro teléfono u otro texto"
    ),
    "the key {key} already belongs to message {message}, which has another phone or text: use a new key "
    "for a new message": (
        "la clave {key} ya es del mensaje {message}, que tiene otro teléfono u otro texto: use otra clave "
        "para otro mensaje"
    ),
    "{name}: {time} is in the past; leave it out to send now": (
        "{name}: {time} ya pasó; déjelo vacío para enviar ahora"
    ),
    "ttl: expires_at is given as well; give one of the two": "ttl: también hay expires_at; deje uno de los dos",
    "expires_at: {time} is over before the message may be sent; give a later time": (
        "expires_at: {time} termina antes de que el mensaje se pueda enviar; escriba una hora posterior"
    ),
    "{name}: not a time; {hint}": "{name}: no es una hora; {hint}",
    "{name}: {time} has no time zone; add one, like {example}": (
        "{name}: {time} no tiene zona horaria; agréguela, como {example}"
    ),
    "{name}: {time} is outside the calendar; give a nearer time": (
        "{name}: {time} está fuera del calendario; escriba una hora más cercana"
    ),
    "ttl: not a number of seconds; write one, like 300": "ttl: no es un número de segundos; escriba uno, como 300",
    "ttl: reaches beyond the calendar; give fewer seconds": (
        "ttl: llega más allá del calendario; escriba menos segundos"
    ),
    "ttl: must be more than 0 seconds": "ttl: escriba más de 0 segundos",
    "{name}: must be text": "{name}: escríbalo como texto",
    "{name}: has {count} characters, at most {most} fit": (
        "{name}: tiene {count} caracteres; caben {most} como máximo"
    ),
    "{name}: holds a character that cannot be printed; remove it": (
        "{name}: tiene un carácter que no se puede imprimir; quítelo"
    ),
    "{name}: it is none of {names}": "{name}: no es ninguno de {names}",
    "{names} missing: every message needs a phone and a text": (
        "falta {names}: cada mensaje necesita un teléfono (phone) y un texto (text)"
    ),
    "callback: names neither a Celery task nor a webhook; {hint}": (
        "callback: no nombra ni una tarea de Celery ni un webhook; {hint}"
    ),
    "callback: a task is named with its queue, like celery:app.tasks.sms_changed@queue, in plain letters": (
        "callback: una tarea se nombra con su cola, como celery:app.tasks.sms_changed@queue, en letras sin acento"
    ),
    "callback: tasks and queues of smsclick itself cannot be called; name one of your own app": (
        "callback: no se puede llamar a las tareas y colas de smsclick; nombre una de su propia aplicación"
    ),
    "callback: the address holds a character that must be percent-encoded": (
        "callback: la dirección tiene un carácter que debe escribirse con %"
    ),
    "callback: is no address; {hint}": "callback: no es una dirección; {hint}",
    "callback: the address has no host that could be called; {hint}": (
        "callback: la dirección no tiene un servidor al que se pueda llamar; {hint}"
    ),
    "callback: leave user, password and # out of the address; calls are signed instead": (
        "callback: quite de la dirección el usuario, la contraseña y #; las llamadas van firmadas"
    ),
    "{count} fields where the header has {most}; put a text that holds a separator in quotes": (
        "{count} campos donde el encabezado tiene {most}; ponga entre comillas el texto que tenga un separador"
    ),
    "{count} fields where the header has {most}": "{count} campos donde el encabezado tiene {most}",
    "a field stands in a column that has no name": "hay un campo en una columna sin nombre",
    "a carriage return outside of quotes": "hay un retorno de carro fuera de comillas",
    "a quote is not closed, or a quoted field goes on after its end (write quotes inside one twice)": (
        "una comilla no se cierra, o el campo sigue después de ella (escriba dos veces las comillas que estén dentro)"
    ),
    "longer than {most} KiB": "mide más de {most} KiB",
    "not JSON from character {place} on": "no es JSON a partir del carácter {place}",
    "not a JSON object of a message": "no es un objeto JSON de un mensaje",
    "not a JSON object: write one like {example} a line": (
        "no es un objeto JSON: escriba uno como {example} en cada línea"
    ),
    "unknown column at position {place}; there are {names}": (
        "columna desconocida en la posición {place}; existen {names}"
    ),
    "unknown column {name}; there are: {names}": "columna desconocida {name}; existen: {names}",
    "unknown column {name}; there are {names}": "columna desconocida {name}; existen {names}",
    "the column {name} comes twice": "la columna {name} está dos veces",
    "the file is empty: a CSV needs a header line like {example}": (
        "el archivo está vacío: un CSV necesita un encabezado como {example}"
    ),
    "the file is one JSON array: write one JSON object a line instead": (
        "el archivo es un solo arreglo JSON: escriba un objeto JSON en cada línea"
    ),
    "the header cannot be read: write one like {example}": (
        "el encabezado no se puede leer: escriba uno como {example}"
    ),
    "the first line is no header: it must name columns of {names}": (
        "la primera línea no es un encabezado: debe nombrar columnas de {names}"
    ),
    "the header lacks {names}: write one like {example}": (
        "al encabezado le falta {names}: escriba uno como {example}"
    ),
    "the file is UTF-32, which is not read here: {hint}": "el archivo está en UTF-32, que aquí no se lee: {hint}",
    "the file begins as UTF-16 but is not: {hint}": "el archivo empieza como UTF-16 pero no lo es: {hint}",
    "the file is in two encodings at once: {hint}": "el archivo está en dos codificaciones a la vez: {hint}",
    "the file's encoding cannot be recognised: {hint}": "no se reconoce la codificación del archivo: {hint}",
    "the file has more than {most} lines: use smsclick import for it": (
        "el archivo tiene más de {most} líneas: divídalo, o impórtelo con smsclick import"
    ),
}


def _pattern(words: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\\{(\w+)\\}", r"(?P<\1>.+?)", re.escape(words)), re.DOTALL)


_PATTERNS: Final = [(_pattern(english), spanish) for english, spanish in _IN_SPANISH.items()]


def in_language(reason: str, language: Language) -> Reason:
    """Return a reason in a language; one that has no other words stays as it is, in English.

    Args:
        reason: as the functions of the import give it.
        language: of the reader.
    """
    if language == "en":
        return Reason(reason, "en")
    for pattern, spanish in _PATTERNS:
        if found := pattern.fullmatch(reason):
            parts = found.groupdict()
            if "names" in parts:
                parts["names"] = re.sub(r" and (?=\w+$)", " y ", parts["names"])
            if "hint" in parts:
                parts["hint"] = _HINTS.get(parts["hint"], parts["hint"])
            return Reason(spanish.format_map(parts), language)
    return Reason(reason, "en")
