"""The alerts' words in Spanish, as Mexico writes it. Keys and placeholders are those of `worker.alerting.english`."""

from typing import Final

from smsclick.contract import HoldReason
from worker.alerting.spanish_details import DETAILS
from worker.alerting.wording import Catalogue, KindText

_NOTHING_LOST: Final = "Los mensajes esperan y no se pierde nada."

CATALOGUE: Final = Catalogue(
    runbook="docs/es/runbook.md",
    phrases={
        "opened": "{title}",
        "reminder": "sigue: {title}",
        "reopened": "otra vez: {title}",
        "closed": "terminó: {title}",
        "comes_and_goes": "Va y viene. El fin se avisa cuando haya terminado desde hace {span}.",
        "meaning": "Qué significa: {text}",
        "touches": "Qué afecta: {text}",
        "advice": "Qué hacer: {text}",
        "runbook": "Guía: {text}",
        "detail": "Detalle: {text}",
        "since": "Desde {since}.",
        "ended": "Empezó {since}, terminó {ended}.",
        "waiting": "Mensajes en espera: {count}.",
        "or_more": "{count} o más",
        "footer": "Instalación: {installation}. Incidente: {kind} ({number}). Gravedad: {severity}.",
        "critical": "crítica",
        "warning": "advertencia",
        "info": "informativa",
        "test_title": "aviso de prueba",
        "test_body": "Se ejecutó `smsclick doctor --alert-test`. No hay ningún problema; este canal recibe los avisos.",
        "database_title": "la base de datos no se puede usar",
        "database_over_title": "terminó: la base de datos no se puede usar",
        "database_body": "Un worker no ha podido escribir durante {seconds} segundos; no se envía nada y no se pierde "
        "nada. Vea su registro y `smsclick doctor`.",
        "database_over_body": "El worker continúa.",
    },
    details=DETAILS,
    kinds={
        HoldReason.NO_BALANCE: KindText(
            "Sin saldo (-104): el envío está detenido",
            "SMSClick rechaza los mensajes porque la cuenta ya no tiene créditos.",
            f"No se envía nada. {_NOTHING_LOST} Expiran los que pierden su vigencia mientras tanto.",
            "Compre créditos en SMSClick. El envío continúa por sí solo.",
        ),
        HoldReason.KEY_REFUSED: KindText(
            "El APIKEY es rechazado: el envío está detenido",
            "SMSClick no acepta la clave (-100 o -101): es incorrecta, fue reemplazada o fue bloqueada.",
            f"No se envía nada ni se puede consultar ningún estatus. {_NOTHING_LOST}",
            "Compare SMSCLICK_API_KEY con el panel de SMSClick (HERRAMIENTAS > Componentes/APIS). Una clave de "
            "SMSCLICK_API_KEY_FILE se vuelve a leer por sí sola; si cambió la variable, reinicie los workers.",
        ),
        HoldReason.PROVIDER_DOWN: KindText(
            "SMSClick no responde: el envío está detenido",
            "Varias llamadas seguidas terminaron sin respuesta, por eso no se hacen más.",
            f"No se envía nada. {_NOTHING_LOST} Las llamadas sin respuesta se buscan en el reporte de SMSClick.",
            "Vea si esta máquina llega a SMSClick (`smsclick doctor`) y pregunte a SMSClick. El envío continúa por sí "
            "solo cuando vuelva a responder.",
        ),
        "old_unknown": KindText(
            "No se pudo aclarar el resultado de algunos intentos",
            "El reporte de SMSClick ya debería mostrar si estos intentos fueron aceptados, y no lo hizo.",
            "Estos mensajes esperan. Ninguno se envía otra vez hasta que sea seguro que no fue aceptado.",
            "El detalle dice por qué y qué hacer; `smsclick unknown` lo dice de cada intento.",
        ),
        "report_lag": KindText(
            "El reporte del proveedor muestra los mensajes tarde o nunca",
            "Un mensaje que seguramente fue aceptado falta en el reporte más tiempo de lo esperado.",
            "Mientras dure, ningún intento cuenta como ausente: los de resultado desconocido esperan.",
            "El detalle dice qué se vio y qué hacer.",
        ),
        "restored": KindText(
            "Se restauró un respaldo: el envío está detenido hasta aclarar los intentos hechos desde el respaldo",
            "La base de datos es más antigua que lo enviado: algunos mensajes quizá ya se enviaron.",
            "No se envía nada hasta haberlos buscado, y nada se envía dos veces.",
            "El envío continúa por sí solo. `smsclick unknown` lista los intentos por aclarar; `smsclick restored "
            "--missing-keys ARCHIVO` lista las claves que faltan.",
        ),
        "low_balance": KindText(
            "El saldo es bajo",
            "La cuenta tiene menos créditos que SMSCLICK_LOW_BALANCE.",
            "Todavía nada: los mensajes se envían mientras haya créditos.",
            "Compre créditos en SMSClick antes de que el envío se detenga.",
        ),
        "balance_ends": KindText(
            "El saldo se acabará pronto",
            "Al ritmo de la última hora los créditos duran menos de un día.",
            "Todavía nada: los mensajes se envían mientras haya créditos.",
            "Compre créditos en SMSClick, o vea si algo envía más de lo debido (`smsclick stats`).",
        ),
        "credits_differ": KindText(
            "SMSClick cobra otros créditos de los esperados",
            "Los créditos en las respuestas de SMSClick no son los que predice el largo de los textos.",
            "Los mensajes se envían como siempre; cuestan más o menos de lo planeado.",
            "Compare los textos y `credits_used` de algunos mensajes (`smsclick export`) y pregunte a SMSClick cómo "
            "cuenta.",
        ),
        "many_rejected": KindText(
            "Se rechazan más mensajes de lo normal",
            "SMSClick aceptó estos mensajes, pero más de lo normal terminaron como Rechazado.",
            "Sus destinatarios no los recibieron. Los demás se envían como siempre.",
            "Vea cuáles son (`smsclick export --state rejected`): ¿una compañía, un texto, una lista? Pregunte a "
            "SMSClick por qué.",
        ),
        "provider_slow": KindText(
            "SMSClick responde lentamente",
            "La mitad de las llamadas de los últimos minutos tardó más de unos segundos.",
            "Los mensajes se envían, pero más tarde: esperan más al mismo tiempo.",
            "Vea `smsclick stats`. Si la espera crece, pregunte a SMSClick; más workers solo ayudan si las llamadas "
            "esperan un lugar libre.",
        ),
        "unlisted_code": KindText(
            "Fallaron mensajes: el proveedor responde con un código que su manual no tiene",
            "SMSClick rechazó estos mensajes ocho veces seguidas con un código que nadie conoce.",
            "Estos mensajes fallaron. Los demás se envían como siempre.",
            "Pregunte a SMSClick qué significa; después `smsclick retry ID`.",
        ),
        "undetermined": KindText(
            "Hay mensajes sin estatus final dentro del plazo de seguimiento",
            "SMSClick los aceptó y nunca dijo qué fue de ellos.",
            "Nadie sabe si sus destinatarios los recibieron. Un estatus posterior todavía los corrige.",
            "Vea `smsclick export --state undetermined` y pregunte a SMSClick.",
        ),
        "lost_id": KindText(
            "El proveedor aceptó un intento cuyo mensaje ya tenía otro resultado",
            "Llegó una respuesta después de que alguien o el reporte había decidido otra cosa.",
            "El destinatario quizá recibió el mensaje dos veces.",
            "Vea `smsclick show ID`.",
        ),
        "odd_row": KindText(
            "Hay filas de smsclick_messages con valores que ningún mensaje puede tener",
            "Un programa escribe mensajes por SQL y omite o daña algo.",
            "Falló el mensaje en espera cuyo contenido no se puede leer; los demás se envían.",
            "Corrija ese programa; `smsclick show ID` nombra las columnas.",
        ),
        "callback_failed": KindText(
            "Los avisos a un productor (callbacks) no se confirman",
            "El receptor que nombra el detalle no respondió, o rechazó las llamadas.",
            "Ese productor no se entera de qué fue de sus mensajes. Los mensajes no se afectan.",
            "Corrija el receptor, o SMSCLICK_WEBHOOK_HOSTS y SMSCLICK_WEBHOOK_SECRET. Los de menos de tres días se "
            "vuelven a intentar por sí solos.",
        ),
        "no_ticks": KindText(
            "No llegan los ticks: falta beat o el broker",
            "Durante minutos no ha llegado ningún tick de beat, o ningún worker ha hecho el barrido (sweep).",
            "Los workers buscan trabajo por sí solos mientras tanto, con menos frecuencia. Si nadie ha hecho el "
            "barrido, no hay ningún worker.",
            "Inicie `celery -A worker beat`, y vea que los workers y beat lleguen al mismo broker.",
        ),
        "old_due": KindText(
            "Hay mensajes que esperan mucho tiempo aunque el envío no está detenido",
            "Llegan más mensajes de los que se pueden enviar, o algo los retrasa.",
            "Los mensajes salen tarde y algunos pueden expirar.",
            "Vea `smsclick stats` y `smsclick doctor`: muy pocos workers, un proveedor lento o un "
            "SMSCLICK_MAX_PER_SECOND demasiado bajo.",
        ),
        "no_records": KindText(
            "No se envía nada aunque hay mensajes en espera",
            "No se ha registrado el resultado de ningún intento durante minutos.",
            f"No se envía nada. {_NOTHING_LOST}",
            "Vea `smsclick doctor` y los registros de los workers: ninguno corre, ninguno avanza o no se puede "
            "escribir en la base de datos.",
        ),
        "no_workers": KindText(
            "Ningún worker avanza",
            "Beat corre, pero ningún worker ha mostrado avance durante minutos.",
            f"No se envía nada ni se consulta ningún estatus. {_NOTHING_LOST}",
            "Inicie `celery -A worker worker`; si corre, vea su registro y `smsclick health --worker`.",
        ),
        "operator_hold": KindText(
            "El envío está detenido a mano",
            "Alguien ejecutó `smsclick hold`.",
            "No se envía nada; los mensajes esperan y algunos pueden expirar.",
            "`smsclick resume` reanuda el envío.",
        ),
        "many_unknown": KindText(
            "Muchos intentos terminan sin una respuesta legible",
            "La red o SMSClick corta las llamadas antes de responderlas.",
            "Cada uno de estos mensajes espera hasta que el reporte diga si fue aceptado.",
            "Pregunte a SMSClick, y revise la red y SMSCLICK_READ_TIMEOUT. Vea `smsclick unknown`.",
        ),
        "many_absent": KindText(
            "Muchos intentos no están en el reporte del proveedor y se envían otra vez",
            "O SMSClick pierde mensajes, o su reporte los muestra después de SMSCLICK_SETTLE_SECONDS.",
            "En el segundo caso los destinatarios pueden recibir mensajes dos veces.",
            "Compare `smsclick show ID` de uno de ellos con el panel de SMSClick. Si el panel lo muestra: `smsclick "
            "hold`, aumente SMSCLICK_SETTLE_SECONDS y pregunte a SMSClick qué tan tarde muestra un mensaje su reporte.",
        ),
        "clock_step": KindText(
            "Se ajustó el reloj de la base de datos",
            "Dio un salto el reloj por el que se deciden todos los plazos.",
            "Los plazos, las reservas y las esperas de intentos desconocidos se movieron con él; los mensajes cuya "
            "vigencia terminó según la nueva hora expiraron.",
            "Deje que NTP corrija poco a poco el reloj de la máquina de la base de datos en vez de ajustarlo (chrony: "
            "sin `makestep` después del arranque).",
        ),
        "bad_call": KindText(
            "Se rechazó una llamada a la tarea smsclick.enqueue o smsclick.cancel",
            "Un productor llama por nombre con algo que no puede ser un mensaje.",
            "Ese mensaje no se envía. Los demás no se afectan.",
            "Corrija el productor; el detalle dice por qué. `smsclick deadletters list` muestra la llamada.",
        ),
    },
)
