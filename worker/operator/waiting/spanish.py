"""The sentences in Spanish, as Mexico writes it. Keys and placeholders are those of the English catalogue."""

from typing import Final

from worker.lifecycle import on_report
from worker.lifecycle.doubt import Doubt
from worker.operator.waiting.codes import Code, Remedy

SENTENCES: Final = {
    Code.SEND_AT: "Espera su hora y se envía {when}.",
    Code.QUIET_HOURS: "Espera el fin de las horas de silencio de su destinatario, {when}: su prioridad es baja.",
    Code.RETRY: "No fue aceptado y espera su próximo intento, {when}{refused}.",
    Code.HOLD_OPERATOR: "Espera porque un operador{person} detuvo el envío; {resume}.",
    Code.HOLD_NO_BALANCE: (
        "Espera porque el envío está detenido: no hay saldo (-104). El saldo se consulta otra vez {when}."
    ),
    Code.HOLD_KEY_REFUSED: (
        "Espera porque el envío está detenido: la APIKEY es rechazada. La clave se prueba otra vez {when}."
    ),
    Code.HOLD_PROVIDER_DOWN: (
        "Espera porque el envío está detenido: el proveedor no responde. Se le pregunta otra vez {when}."
    ),
    Code.HOLD_RESTORED: (
        "Espera porque el envío está detenido: se restauró un respaldo y se concilia lo que pudo enviarse después."
    ),
    Code.HOLD_RESTORE_UNFINISHED: (
        "Espera porque el envío está detenido: se restauró un respaldo y smsclick restored no terminó. Ejecútelo otra "
        "vez."
    ),
    Code.CANARY: (
        "Es el único mensaje que se prueba mientras el envío está detenido; su respuesta decide si siguen los demás. "
        "La respuesta se espera hasta {when}."
    ),
    Code.CANARY_ELSEWHERE: "Se prueba el mensaje {id}: si es aceptado, el envío continúa. Tiene hasta {when}.",
    Code.DUPLICATE: (
        "Espera al mensaje {id}, que está en curso: tiene el mismo teléfono y texto, y un reporte no podría "
        "distinguirlos. Sale cuando ese termine."
    ),
    Code.OPTED_OUT: (
        "Su teléfono está en la lista de bajas: falla en cuanto un worker lo toma, y no se envía ningún SMS."
    ),
    Code.NO_WORKER: "Ningún worker avanza, así que no se envía nada. Inicie un worker (celery -A worker worker).",
    Code.NO_SWEEP: (
        "Ningún barrido corre, así que nadie lo revisa. Inicie beat y un worker (smsclick health dice más)."
    ),
    Code.RATE_LIMIT: (
        "Espera su lugar bajo el límite de {per_second} por segundo: {ahead} antes que él, así que más o menos {when}."
    ),
    Code.NEXT: "Se envía en cuanto un worker esté libre: es el siguiente de la fila.",
    Code.IN_LINE: "Se envía en cuanto un worker esté libre: {ahead} antes que él.",
    Code.VALIDITY_OVER: "Su vigencia terminó {when}: el próximo barrido lo marca como expirado y no se envía.",
    Code.VALIDITY_ENDS: "Si no se envía antes, expira {when}.",
    Code.SENDING: (
        "Se está enviando: una petición puede estar en curso. Sin resultado el mensaje queda como desconocido a más "
        "tardar {when}."
    ),
    Code.LEASE_OVER: (
        "Su worker no dio un resultado a tiempo y nadie sabe si salió una petición: el próximo barrido lo marca como "
        "desconocido."
    ),
    Code.UNKNOWN: (
        "No se sabe qué pasó con su intento. El reporte del proveedor se lee para él {when}; no se envía otra vez "
        "mientras pudo ser aceptado{reason}."
    ),
    Code.UNKNOWN_PERSON: ("No se sabe qué pasó con su intento, y {decide}{reason}."),
    Code.SENT: "El proveedor lo aceptó y espera su estatus final: próxima consulta {when}.",
    Code.REPLY: "Fue entregado. Por si hay respuesta, su estatus se consulta otra vez {when}.",
    Code.LATE_STATUS: "No tuvo estatus final en el plazo de seguimiento; uno tardío se busca {when}.",
    Code.DELIVERED: "Fue entregado {when}: es final y no pasa nada más.",
    Code.REJECTED: "El proveedor lo rechazó {when}: es final y no pasa nada más.",
    Code.FAILED: "Falló {when}{refused}: no pasa nada más, salvo que un operador lo reintente ({retry}).",
    Code.FAILED_OPTED_OUT: (
        "No se envió, porque su teléfono está en la lista de bajas ({when}): no pasa nada más, salvo que un operador "
        "quite el teléfono de la lista y lo reintente ({retry})."
    ),
    Code.EXPIRED: "Su vigencia terminó antes de poder enviarse ({when}): es final y no pasa nada más.",
    Code.CANCELLED: "Fue cancelado {when} antes de enviarse: es final y no pasa nada más.",
    Code.UNDETERMINED: (
        "No tiene estatus final, y se consultó hasta mucho después del plazo de seguimiento: no pasa nada más."
    ),
    Code.ERASED: "Su teléfono y su texto se borraron {when}.",
    Code.CALLBACK_PENDING: (
        "{receiver} aún no confirma {type}: próxima llamada {when}, después de {tries} sin éxito o sin fin."
    ),
    Code.CALLBACK_GIVEN_UP: (
        "El aviso {type} a {receiver} se abandonó {when} después de {tries} llamadas; {call_again}."
    ),
    Code.ODD: "La fila es anómala: {why}",
}

WHY: Final = {
    Doubt.TOO_YOUNG: "es más reciente que SMSCLICK_SETTLE_SECONDS, plazo en que el reporte aún puede mostrarlo; espere",
    Doubt.NO_REPORT: (
        "el reporte del proveedor falla o no se puede leer; pruebe `smsclick report FROM TO` para la hora del intento "
        "y pregunte a SMSClick; se vuelve a leer por sí solo"
    ),
    Doubt.NO_CONTROLS: (
        "no hay filas de control: se aceptaron muy pocos mensajes de id conocido antes y después para comprobar el "
        "reporte; espere a que se envíen más mensajes, o {decide_by_hand}"
    ),
    Doubt.NOT_YET: "mensajes aceptados después de él aún no están en el reporte; espere: se vuelve a leer por sí solo",
    Doubt.MISSING: (
        "al reporte le faltan mensajes que sin duda se aceptaron (puede estar recortado); compare "
        "`smsclick report FROM TO` con el panel de SMSClick y pregunte; {decide_by_hand}"
    ),
    Doubt.CAPPED: (
        "el final del reporte puede estar cortado: ninguna fila de control está detrás de tantas filas; espere a que "
        "se envíen más mensajes, o {decide_by_hand}"
    ),
    Doubt.PHONES: (
        "los teléfonos del reporte están ocultos o cambiados y no se reconoce ninguna fila; pida a SMSClick teléfonos "
        "completos en los reportes; {decide_by_hand}"
    ),
    Doubt.TEXTS: (
        "los textos tienen otra forma en el reporte, y no las mismas palabras alrededor de cada uno; compare "
        "`smsclick report FROM TO` con lo enviado y pregunte a SMSClick; {decide_by_hand}"
    ),
    Doubt.DATES: (
        "las fechas del reporte están desplazadas; revise SMSCLICK_TIMEZONE y los archivos de zonas de esta máquina "
        "(smsclick doctor) y reinicie los workers"
    ),
    Doubt.ODD: (
        "el reporte tiene filas que no se pueden leer, del mismo teléfono o de ninguno, y cualquiera podría ser él; "
        "véalas con `smsclick report FROM TO`; {decide_by_hand}"
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
        "clave anterior hasta que se concilien, o {decide_by_hand}"
    ),
    Doubt.SIMILAR: (
        "el reporte tiene una fila de igual teléfono y texto que podría ser él, pero no es seguro; véala con "
        "`smsclick report FROM TO`; {decide_by_hand}"
    ),
    Doubt.REPEATED_HOUR: (
        "el reloj del proveedor muestra esta hora dos veces (fin del horario de verano), así que una fecha puede ser "
        "dos horas; espere: el reporte se vuelve a leer cuando la hora termine"
    ),
    Doubt.TOO_LONG: (
        "es tan antiguo que el reporte desde entonces es demasiado largo para leerse de una vez; {decide_by_hand}"
    ),
    Doubt.TWICE: (
        f"el reporte ya no lo tuvo {on_report.MOST_ABSENCES} veces: decide una persona; pregunte a SMSClick por qué "
        "a su reporte le faltan intentos de este mensaje; {decide_by_hand}"
    ),
    Doubt.WITHOUT_ID: (
        "el proveedor dijo que lo aceptó, pero no dio un id que se pudiera guardar; búsquelo en el panel de SMSClick; "
        "{decide_by_hand}"
    ),
}

REMEDIES: Final = {
    Remedy.RESUME: "smsclick resume lo reanuda",
    Remedy.RETRY: "smsclick retry",
    Remedy.DECIDE: "solo una persona puede decidirlo: smsclick settle",
    Remedy.DECIDE_BY_HAND: "decida a mano: smsclick settle ID --accepted ID_MENSAJE o --not-accepted",
    Remedy.CALL_AGAIN: "smsclick callbacks replay llama otra vez",
}

PHRASES: Final = {
    "in": "en {span} ({time})",
    "ago": "hace {span} ({time})",
    "now": "ahora",
    "unknown_time": "a una hora desconocida",
    "person": " ({by})",
    "refused": " (última respuesta: {answer})",
    "reason": ". La razón: {reason}",
}
