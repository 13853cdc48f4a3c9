"""What the bodies of the provider's answers say, read without any I/O.

Entry points: `classification.classify_send`, `status.parse_status`, `report.parse_report`,
`report_stream.ReportReader`, `balance.parse_credits`, `dates`, `echo.scrub`. They read tolerantly (phones that are
numbers, two spellings of a name, odd encodings) and judge strictly.

Invariant: `classify_send` returns `Accepted` or `Refused` only if the answer proves it. No description leaves this
package before `echo.scrub` has removed the key, phones and texts from it. Imports no HTTP library, no database and no
clock; the only exceptions that leave it are those of `smsclick.errors`. Decisions: docs/decisions/0012 (reports are
read as streams), 0028 (echoes).
"""
