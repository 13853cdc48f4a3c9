"""Sending: claims due messages, calls `sendMsg` for each, and records the outcomes.

Owns the way from `queued` through `sending` to `sent`, `queued`, `unknown` or `failed` (the claim's SQL is in
`worker.queue.claims`, the decisions in `worker.lifecycle.on_claim` and `on_attempt`), and the incidents `lost_id` and
`unlisted_code`. Entry points: `pump.Pump` for a process, `recorder.Recorder` for its results, `attempts` for one claim
and one call, `attempts.wake_for_waiting` for the sweep. `calls` has the event loop of the calls in flight,
`claims_in_hand` what waits for its call. `concurrency` and `claim_size` are pure. `pump_progress` judges for health
checks whether the pump sends what it may send.

May import `worker.context`, `account`, `alerting`, `queue`, `lifecycle`, `sql`, `threads`; never another step.

Invariant: a claim is committed before its request leaves, no byte leaves after the claim could have expired, and an
outcome is recorded only while the row still has the claim's token.
Decisions: docs/decisions/0004-group-commit.md, 0022-pump.md, 0038-what-waits-is-bounded.md,
0056-calls-in-flight.md, 0074-a-pump-that-sends-nothing.md, 0076-high-messages-behind-a-bulk.md.
"""
