"""The sentences of incidents' details in Spanish: one for each `DetailCode`, each doubt and each code that holds."""

from collections.abc import Mapping
from typing import Final

from worker.alerting.wording import DetailCode
from worker.lifecycle import on_report
from worker.lifecycle.doubt import Doubt

BY_HAND = "decida a mano: smsclick settle ID --accepted ID_MENSAJE o --not-accepted"
DOUBTS: Final[Mapping[Doubt, str]] = {
    Doubt.TOO_YOUNG: "es más reciente que SMSCLICK_SETTLE_SECONDS, plazo en que el reporte aún puede mostrarlo; espere",
    Doubt.NO_REPORT: (
        "el reporte del proveedor falla o no se puede leer; pruebe `smsclick report FROM TO` para la hora del intento "
        "y pregunte a SMSClick; se vuelve a leer por sí solo"
    ),
    Doubt.NO_CONTROLS: (
        "no hay filas de control: se aceptaron muy pocos mensajes de id conocido antes y después para comprobar el "
        "reporte; espere a que se envíen más mensajes, o {by_hand}"
    ),
    Doubt.NOT_YET: "mensajes aceptados después de él aún no están en el reporte; espere: se vuelve a leer por sí solo",
    Doubt.MISSING: (
        "al reporte le faltan mensajes que sin duda se aceptaron (puede estar recortado); compare "
        "`smsclick report FROM TO` con el panel de SMSClick y pregunte; {by_hand}"
    ),
    Doubt.CAPPED: (
        "el final del reporte puede estar cortado: ninguna fila de control está detrás de tantas filas; espere a que "
        "se envíen más mensajes, o {by_hand}"
    ),
    Doubt.PHONES: (
        "los teléfonos del reporte están ocultos o cambiados y no se reconoce ninguna fila; pida a SMSClick teléfonos "
        "completos en los reportes; {by_hand}"
    ),
    Doubt.TEXTS: (
        "los textos tienen otra forma en el reporte, y no las mismas palabras alrededor de cada uno; compare "
        "`smsclick report FROM TO` con lo enviado y pregunte a SMSClick; {by_hand}"
    ),
    Doubt.DATES: (
        "las fechas del reporte están desplazadas; revise SMSCLICK_TIMEZONE y los archivos de zonas de esta máquina "
        "(smsclick doctor) y reinicie los workers"
    ),
    Doubt.ODD: (
        "el reporte tiene filas que no se pueden leer, del mismo teléfono o de ninguno, y cualquiera podría ser él; "
        "véalas con `smsclick report FROM TO`; {by_hand}"
    ),
    Doubt.LAG: (
        "el incidente report_lag está abierto: el reporte muestra los mensajes tarde o nunca; vea ese incidente; el "
        "reporte se vuelve a leer por sí solo"
    ),
    Doubt.CLOCK: (
        "ningún proceso vigiló el reloj de la base de datos todo el tiempo desde el intento, así que su edad no se "
        "conoce; espere: se juzga SMSCLICK_SETTLE_SECONDS después del inicio de los workers"
    ),
    Doubt.ACCOUNT: (
        "la APIKEY cambió desde que se envió, y el reporte no prueba que la cuenta sea la misma; vuelva a poner la "
        "clave anterior hasta que se concilien, o {by_hand}"
    ),
    Doubt.SIMILAR: (
        "el reporte tiene una fila de igual teléfono y texto que podría ser él, pero no es seguro; véala con "
        "`smsclick report FROM TO`; {by_hand}"
    ),
    Doubt.REPEATED_HOUR: (
        "el reloj del proveedor muestra esta hora dos veces (fin del horario de verano), así que una fecha puede ser "
        "dos horas; espere: el reporte se vuelve a leer cuando la hora termine"
    ),
    Doubt.TOO_LONG: (
        "es tan antiguo que el reporte desde entonces es demasiado largo para leerse de una vez; {by_hand}"
    ),
    Doubt.TWICE: (
        f"el reporte ya no lo tuvo {on_report.MOST_ABSENCES} veces: decide una persona; pregunte a SMSClick por qué "
        "a su reporte le faltan intentos de este mensaje; {by_hand}"
    ),
    Doubt.WITHOUT_ID: (
        "el proveedor dijo que lo aceptó, pero no dio un id que se pudiera guardar; búsquelo en el panel de SMSClick; "
        "{by_hand}"
    ),
}
"""Reason and advice of each doubt; `{by_hand}` as in the English ones."""

DETAILS: Final[Mapping[str, str]] = {
    DetailCode.HOLD: "{code}: {meaning}",
    DetailCode.NO_ANSWERS: "{count} llamadas seguidas sin respuesta",
    DetailCode.BALANCE: "{left} créditos, el límite es {limit}",
    DetailCode.BALANCE_LASTS: "{left} créditos duran {span} a {rate} créditos por hora",
    DetailCode.CREDITS: "{charged} créditos cobrados en la última hora donde se esperaban {predicted}",
    DetailCode.REJECTED: "{share} de los mensajes finales de la última hora, normalmente {usual}",
    DetailCode.SLOW: "la mitad de las llamadas de los últimos minutos tardó más de {seconds} s",
    DetailCode.ATTEMPTS: "{count} de los últimos {ended} intentos",
    DetailCode.NO_SWEEP: "nunca",
    DetailCode.SWEPT: "el último hace {span}",
    DetailCode.NO_TICK: "nunca ha llegado un tick de beat",
    DetailCode.TICKED: "ningún tick de beat desde hace {span}",
    DetailCode.OLDEST: "el más antiguo desde hace {span}",
    DetailCode.RECORDED: "el último resultado hace {span}",
    DetailCode.LASTS: "desde hace {span}",
    DetailCode.NO_WORKER: "nunca ha habido un worker",
    DetailCode.NO_WORKER_FOR: "ningún worker desde hace {span}",
    DetailCode.FIRST: "el primero: mensaje {id}",
    DetailCode.FIRST_COLUMNS: "el primero: mensaje {id}, columnas {columns}",
    DetailCode.UNLISTED: "codigo {code}",
    DetailCode.MESSAGES: "mensajes {ids}",
    DetailCode.ACCEPTED: "mensaje {id}, id_mensaje {id_mensaje}",
    DetailCode.DELETED: "mensajes eliminados y su id_mensaje: {pairs}",
    DetailCode.CLOCK_FORWARD: "adelantado unos {seconds} s",
    DetailCode.CLOCK_BACK: "atrasado unos {seconds} s",
    DetailCode.RESTORED: "desde {since} UTC",
    DetailCode.RESTORE_FOUND: "ejecute: smsclick restored --since {since} (el mensaje {id} espera y ya fue enviado)",
    DetailCode.OLD_UNKNOWN_ONE: "1 intento (mensaje {ids}): {why}",
    DetailCode.OLD_UNKNOWN: "{count} intentos (mensaje {ids}): {why}",
    DetailCode.OLD_UNKNOWN_MIXED: "intentos: {count} (mensaje {ids}): {why}; por otras razones: {others}",
    DetailCode.LAG: "el mensaje de hace {seconds} s no se muestra, donde el plazo es de {window} s: {why}",
    DetailCode.LAG_AHEAD: (
        "las fechas del proveedor van {seconds} s por delante de las nuestras; revise SMSCLICK_TIMEZONE y los"
        " archivos de zonas de esta máquina (smsclick doctor)"
    ),
    DetailCode.LAG_BEHIND: (
        "las fechas del proveedor van {seconds} s por detrás de las nuestras; revise SMSCLICK_TIMEZONE y los "
        "archivos de zonas de esta máquina (smsclick doctor)"
    ),
    DetailCode.LAG_LACKS: (
        "el reporte tiene otros de la misma hora y le falta este; compare `smsclick report FROM TO` con el "
        "panel de SMSClick y pregunte"
    ),
    DetailCode.LAG_NOTHING: (
        "el reporte aún no muestra nada de esa hora; si llega tarde, ponga SMSCLICK_SETTLE_SECONDS muy por "
        "encima del retraso que muestra `smsclick stats`"
    ),
    DetailCode.BAD_CALL: "{why} (tarea {task})",
    DetailCode.BAD_TASK: "{why}",
    DetailCode.REFUSED: "rechazada ({refusal}); `smsclick deadletters list` dice por qué",
    DetailCode.NOT_STORED: "la base de datos no puede guardarla ({error})",
    DetailCode.DEFECT: "un defecto de este programa ({error}); su log dice más",
    DetailCode.NO_TASK_MESSAGE: "no es un mensaje de tarea",
    DetailCode.UNKNOWN_TASK: "llama a una tarea desconocida",
    DetailCode.NOT_PARSED: "no se puede interpretar ({error})",
    DetailCode.NOT_DECODED: "no se puede decodificar ({error})",
    DetailCode.RECEIVER: "{receiver}: {why}; el primero: mensaje {id}",
    DetailCode.CALL_STATUS: "HTTP {status}",
    DetailCode.CALL_REDIRECTED: "HTTP {status}: no se siguen las redirecciones",
    DetailCode.CALL_GONE: "410 Gone: el receptor ya no quiere más",
    DetailCode.CALL_NO_ANSWER: "sin respuesta a tiempo",
    DetailCode.CALL_CERTIFICATE: "no se aceptó el certificado",
    DetailCode.CALL_TLS: "TLS falló",
    DetailCode.CALL_BROKE: "la conexión se interrumpió",
    DetailCode.CALL_NOT_MADE: "no se pudo conectar",
    DetailCode.CALL_LATE: "no hubo conexión a tiempo",
    DetailCode.CALL_NO_HTTP: "la respuesta no es HTTP",
    DetailCode.CALL_NO_HOST: "no se encontró el nombre del servidor",
    DetailCode.CALL_UNSIGNED: "falta SMSCLICK_WEBHOOK_SECRET, y los webhooks van firmados",
    DetailCode.CALL_NO_BROKER: "una tarea de Celery solo se puede llamar por un broker: ponga CELERY_BROKER_URL",
    DetailCode.CALL_NO_QUEUE: "el broker no tiene esa cola; inicie la aplicación que la consume",
    DetailCode.CALL_NOT_PUBLISHED: "el broker no la aceptó ({error})",
    DetailCode.CALL_NO_TARGET: "su dirección no se puede usar ({refusal}); `smsclick callbacks list` dice por qué",
    DetailCode.CALL_NOT_HTTPS: (
        "rechazada: la dirección no es https; SMSCLICK_WEBHOOK_ALLOW_PRIVATE=true permite http "
        "(nombre los servidores en SMSCLICK_WEBHOOK_HOSTS)"
    ),
    DetailCode.CALL_NOT_NAMED: "rechazada: el servidor no está en SMSCLICK_WEBHOOK_HOSTS; agréguelo ahí",
    DetailCode.CALL_PRIVATE: (
        "rechazada: la dirección del servidor es privada o reservada; SMSCLICK_WEBHOOK_ALLOW_PRIVATE=true la permite "
        "(nombre los servidores en SMSCLICK_WEBHOOK_HOSTS)"
    ),
    DetailCode.CALL_DEFECT: "un defecto del worker; su log dice más",
    **{f"doubt.{doubt}": why.format(by_hand=BY_HAND) for doubt, why in DOUBTS.items()},
    "codigo.-100": "falta el APIKEY",
    "codigo.-101": "el APIKEY es incorrecto",
    "codigo.-104": "la cuenta no tiene saldo",
}
