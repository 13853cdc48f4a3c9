"""Why a report's silence about an attempt proves nothing."""

import enum

from worker.lifecycle import on_report


class Doubt(enum.StrEnum):
    """Why a report's silence about an attempt proves nothing; kept with the message."""

    TOO_YOUNG = "settling"
    NO_REPORT = "no_report"
    NO_CONTROLS = "no_control_rows"
    NOT_YET = "control_rows_late"
    MISSING = "rows_missing"
    CAPPED = "report_capped"
    PHONES = "phones_changed"
    TEXTS = "texts_changed"
    DATES = "dates_shifted"
    ODD = "unreadable_rows"
    LAG = "report_lag"
    ACCOUNT = "account_changed"
    SIMILAR = "similar_row"
    REPEATED_HOUR = "repeated_hour"
    CLOCK = "clock_not_watched"
    TOO_LONG = "span_too_long"
    TWICE = on_report.ABSENT_TWICE
    WITHOUT_ID = on_report.ACCEPTED_WITHOUT_ID
