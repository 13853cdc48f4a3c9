"""Why a line or a file is refused, in Spanish: a sentence for each code of `smsclick._values.refusals`.

The placeholders are those of the English sentences, which `smsclick` has itself.
"""

from collections.abc import Mapping
from typing import Final

from smsclick._values.refusals import ENGLISH, RefusalCode
from worker.alerting.wording import Language

_TEN_DIGITS: Final = "escriba diez dígitos, por ejemplo 5551402211 o +52 55 5140 2211"
_CALLBACKS: Final = "escriba celery:app.tasks.sms_changed@queue o https://example.com/sms"
_UTF_8: Final = "guarde el archivo como UTF-8 (en Excel: CSV UTF-8)"

_SPANISH: Final[Mapping[RefusalCode, str]] = {
    RefusalCode.PHONE_EMPTY: f"el teléfono está vacío: {_TEN_DIGITS}",
    RefusalCode.PHONE_TYPE: f"el teléfono va como texto o número entero, no {{type}}: {_TEN_DIGITS}",
    RefusalCode.PHONE_NO_NUMBER: f"el teléfono {{phone}} no es un número: {_TEN_DIGITS}",
    RefusalCode.PHONE_AMOUNT: (
        "el teléfono {phone} está escrito como cantidad y puede haber perdido dígitos: dé a su columna el formato de "
        "texto antes de guardar el archivo"
    ),
    RefusalCode.PHONE_NOT_MEXICAN: f"el teléfono {{phone}} no es un número mexicano: {_TEN_DIGITS}",
    RefusalCode.PHONE_AMBIGUOUS: (
        "el teléfono {phone} se puede leer de varias maneras (¿una extensión, un segundo número?): " + _TEN_DIGITS
    ),
    RefusalCode.PHONE_TOLL_FREE: (
        "el teléfono {phone} es un número sin costo o de tarifa especial, al que no llega ningún SMS"
    ),
    RefusalCode.PHONE_NOT_IN_USE: (
        f"el teléfono {{phone}} no está en uso en el plan de numeración de México: {_TEN_DIGITS}"
    ),
    RefusalCode.TEXT_TYPE: "el texto va como texto, no {type}",
    RefusalCode.TEXT_EMPTY: "el texto está vacío: escriba al menos un carácter visible",
    RefusalCode.TEXT_INVISIBLE: "el texto no muestra nada: escriba al menos un carácter visible",
    RefusalCode.TEXT_TOO_LONG: "el texto tiene {count} caracteres: redúzcalo a {most}",
    RefusalCode.TEXT_CHARACTER: (
        "el texto tiene el carácter {character} en la posición {position}, que ningún teléfono muestra: quítelo (una "
        "codificación equivocada es una causa común)"
    ),
    RefusalCode.TIME_FORM: "no es una hora; escriba ISO 8601, como 2026-12-01T09:30:00-06:00",
    RefusalCode.TIME_NO_ZONE: "{time} no tiene zona horaria; agréguela, como {time}-06:00",
    RefusalCode.TIME_CALENDAR: "{time} está fuera del calendario; escriba una hora más cercana",
    RefusalCode.TIME_PAST: "{time} ya pasó; déjelo vacío para enviar ahora",
    RefusalCode.TIME_EXPIRES_TOO_EARLY: (
        "{time} termina antes de que el mensaje se pueda enviar; escriba una hora posterior"
    ),
    RefusalCode.TTL_WITH_EXPIRES_AT: "también hay expires_at; deje uno de los dos",
    RefusalCode.TTL_FORM: "no es un número de segundos; escriba uno, como 300",
    RefusalCode.TTL_CALENDAR: "llega más allá del calendario; escriba menos segundos",
    RefusalCode.TTL_NOT_POSITIVE: "escriba más de 0 segundos",
    RefusalCode.FIELD_TYPE: "escríbalo como texto",
    RefusalCode.FIELD_TOO_LONG: "tiene {count} caracteres; caben {most} como máximo",
    RefusalCode.FIELD_CHARACTER: "tiene un carácter que no se puede imprimir; quítelo",
    RefusalCode.FIELD_CHOICE: "no es ninguno de {names:, }",
    RefusalCode.FIELD_UNKNOWN: "columna desconocida {name}; existen: {names:, }",
    RefusalCode.FIELD_UNKNOWN_HIDDEN: "columna desconocida; existen: {names:, }",
    RefusalCode.FIELDS_MISSING: "falta {names: y }: cada mensaje necesita un teléfono (phone) y un texto (text)",
    RefusalCode.KEY_EMPTY: "está vacía; escriba la clave con la que se encoló el mensaje",
    RefusalCode.KEY_IN_USE: (
        "la clave {key} ya es del mensaje {message}, que tiene otro teléfono u otro texto: use otra clave para otro "
        "mensaje"
    ),
    RefusalCode.KEY_TWICE: "la clave {key} está dos veces en este archivo, con otro teléfono u otro texto",
    RefusalCode.CALLBACK_SCHEME: f"no nombra ni una tarea de Celery ni un webhook; {_CALLBACKS}",
    RefusalCode.CALLBACK_TASK: (
        "una tarea se nombra con su cola, como celery:app.tasks.sms_changed@queue, en letras sin acento"
    ),
    RefusalCode.CALLBACK_OURS: (
        "no se puede llamar a las tareas y colas de smsclick; nombre una de su propia aplicación"
    ),
    RefusalCode.CALLBACK_CHARACTER: "la dirección tiene un carácter que debe escribirse con %",
    RefusalCode.CALLBACK_ADDRESS: f"no es una dirección; {_CALLBACKS}",
    RefusalCode.CALLBACK_HOST: f"la dirección no tiene un servidor al que se pueda llamar; {_CALLBACKS}",
    RefusalCode.CALLBACK_LOGIN: "quite de la dirección el usuario, la contraseña y #; las llamadas van firmadas",
    RefusalCode.LINE_MANY_FIELDS: (
        "{count} campos donde el encabezado tiene {most}; ponga entre comillas el texto que tenga un separador"
    ),
    RefusalCode.LINE_FEW_FIELDS: "{count} campos donde el encabezado tiene {most}",
    RefusalCode.LINE_NAMELESS_FIELD: "hay un campo en una columna sin nombre",
    RefusalCode.LINE_CARRIAGE_RETURN: "hay un retorno de carro fuera de comillas",
    RefusalCode.LINE_QUOTES: (
        "una comilla no se cierra, o el campo sigue después de ella (escriba dos veces las comillas que estén dentro)"
    ),
    RefusalCode.LINE_TOO_LONG: "mide más de {most} KiB",
    RefusalCode.LINE_NO_JSON: "no es JSON a partir del carácter {position}",
    RefusalCode.LINE_UNREADABLE_JSON: "no es un objeto JSON de un mensaje",
    RefusalCode.LINE_NO_JSON_OBJECT: (
        "no es un objeto JSON: escriba uno como {{…phone…, …text…, …key…}} en cada línea"
    ),
    RefusalCode.COLUMN_UNKNOWN: "columna desconocida {name}; existen {names:, }",
    RefusalCode.COLUMN_UNKNOWN_HIDDEN: "columna desconocida en la posición {position}; existen {names:, }",
    RefusalCode.COLUMN_TWICE: "la columna {name} está dos veces",
    RefusalCode.FILE_EMPTY: "el archivo está vacío: un CSV necesita un encabezado como {example}",
    RefusalCode.FILE_JSON_ARRAY: "el archivo es un solo arreglo JSON: escriba un objeto JSON en cada línea",
    RefusalCode.FILE_HEADER_UNREADABLE: "el encabezado no se puede leer: escriba uno como {example}",
    RefusalCode.FILE_NO_HEADER: "la primera línea no es un encabezado: debe nombrar columnas de {names:, }",
    RefusalCode.FILE_HEADER_LACKS: "al encabezado le falta {names: y }: escriba uno como {example}",
    RefusalCode.FILE_UTF_32: f"el archivo está en UTF-32, que aquí no se lee: {_UTF_8}",
    RefusalCode.FILE_UTF_16_BROKEN: f"el archivo empieza como UTF-16 pero no lo es: {_UTF_8}",
    RefusalCode.FILE_TWO_ENCODINGS: f"el archivo está en dos codificaciones a la vez: {_UTF_8}",
    RefusalCode.FILE_ENCODING_UNKNOWN: f"no se reconoce la codificación del archivo: {_UTF_8}",
    RefusalCode.FILE_TOO_MANY_LINES: (
        "el archivo tiene más de {most:,} líneas: divídalo, o impórtelo con smsclick import"
    ),
    RefusalCode.OTHER: "{sentence}",
}

SENTENCES: Final[Mapping[Language, Mapping[RefusalCode, str]]] = {"es": _SPANISH, "en": ENGLISH}
"""The sentences of each language."""
