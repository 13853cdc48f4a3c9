#!/bin/sh
# Compares the locked packages with the known vulnerabilities. Exit 0: none; 1: some; 3: it could not be asked.
set -u

cd "$(dirname "$0")/.."

if command -v uvx >/dev/null; then
    run="uvx --from pip-audit>=2.9,<3 pip-audit"
elif command -v pip-audit >/dev/null; then
    run=pip-audit
else
    echo "audit: not done: install uv (make lock needs it too), or pip-audit 2.9 or newer" >&2
    exit 3
fi

problems=0
for lock in requirements.lock requirements-worker.lock; do
    # --no-deps, because a lock is complete; --disable-pip, so that nothing is installed.
    said=$($run --requirement "$lock" --no-deps --disable-pip --progress-spinner off 2>&1)
    code=$?
    if printf '%s' "$said" | grep -qE '^Name +Version +ID'; then
        printf '%s:\n%s\n' "$lock" "$said" >&2
        problems=1
    elif [ $code -ne 0 ]; then
        printf '%s\n' "$said" | tail -n 3 >&2
        echo "audit: not done: the database of vulnerabilities or pip-audit itself could not be reached; nothing is known of $lock" >&2
        exit 3
    else
        echo "$lock: no known vulnerabilities"
    fi
done
exit $problems
