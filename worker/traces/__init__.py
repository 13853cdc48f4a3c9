"""Spans for OpenTelemetry: each call of a message, and its end, in the trace of the program that enqueued it.

Owns no table; it reads `traceparent` of `smsclick_messages`, which `smsclick._enqueue.tracing` fills. Entry points:
`tracer.start` and `tracer.stop` for a process, `tracer.parents` after a claim, `tracer.call_ended` after a call,
`tracer.committed` after a commit. May import `worker.sql` and `smsclick`, nothing else of `worker`.

Invariant: without the SDK or its settings nothing is imported, read or written. With them, whatever a span costs or
however it fails, the message goes on; spans wait for their receiver in a bounded queue. Spans hold ids, states and
codes: never a phone, a text or a key. Why: docs/decisions/0072-traces.md.
"""
