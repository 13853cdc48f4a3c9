"""The provider's report, for every step that reads it: which spans, how to read one, what its rows are.

Owns the columns of `smsclick_watermarks`; which step uses which row is the step's own concern.

Entry points: `reader.read_report` (one report, row by row), `windows` (brackets, slices and waits), `matching` (which
row is which attempt), `owners.owned_ids` (which ids messages of ours have), `watermark`.

May import `smsclick.provider`, `worker.lifecycle` and `worker.sql`. `matching` and `windows` are pure.

Invariant: only a report that was read to its end can prove that something is not in it; an error is returned with the
rows that came before it. Decisions: docs/decisions/0011-tracking-by-report.md, 0012-reports-as-streams.md.
"""
