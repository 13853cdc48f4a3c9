"""The `smsclick` program: parse the command line, call a function, print what it returns.

- **Entry point**: `main.main`, the program's name in the wheel. It loads the operator's commands from
  `worker.operator.commands`, where the checkout or the image has them; the wheel does not.
- **Owns** no table. It enqueues and imports through `smsclick._enqueue` and `smsclick._importing`, and asks SMSClick
  through `smsclick.provider`.
- **May import** any package of `smsclick`, and never `worker` or `models` by an import statement. requests and rich are
  imported inside functions, because an enqueue starts sooner without them.
- **Invariant**: an error ends as one line on stderr that says what to do, with exit code 1; 2 is wrong usage. No
  traceback, key, phone or text of a message is printed because of an error.
- Decision: docs/decisions/0001 (why the wheel holds only `smsclick`).
"""
