"""The sentences in Spanish, as Mexico writes it. Keys and placeholders are those of the English catalogue."""

from typing import Final

from worker.alerting.spanish_details import BY_HAND, DOUBTS
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

WHY: Final = {doubt: each.format(by_hand="{decide_by_hand}") for doubt, each in DOUBTS.items()}

REMEDIES: Final = {
    Remedy.RESUME: "smsclick resume lo reanuda",
    Remedy.RETRY: "smsclick retry",
    Remedy.DECIDE: "solo una persona puede decidirlo: smsclick settle",
    Remedy.DECIDE_BY_HAND: BY_HAND,
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
