"""Import a file that a person uploaded: say first what it would do, then store exactly that.

- **Entry points**: `uploaded.preview`, `uploaded.store`, `uploaded.rejected`; all read as `smsclick import` does.
- **Owns** no table and keeps no file: whoever asks has the file's bytes and gives them again.
- **May import** what `worker.operator` may.
- **Invariant**: a preview stores nothing; a file is stored once for each preview, however often that is asked for; what
  is reported of a bad line holds neither its phone nor its text.
- Decision: docs/decisions/0068 (files that a person uploads).
"""
