"""What one message waits for and until when: facts, a pure decision, and a sentence in Spanish or English.

- **Entry points**: `facts.read` (one bounded look at everything that matters, in the caller's read transaction),
  `decision.decide` (pure: facts to `Waiting` values), `sentences.say` (the words).
- **Modules**: `codes` (the cases), `english` and `spanish` (their catalogues).
- **Owns** no table and writes nothing.
- **May import** what `worker.operator` may import; neither typer nor the web's framework.
- **Invariant**: every case has a code, a test that brings a real message into it, and a line in docs/waiting.md. What
  is said is a reading of one time; it is no promise of the future.
- Decision: docs/decisions/0066 (the sentence is data first).
"""
