#!/bin/sh
# Runs the tests of threads, pauses and processes again and again, each time in another order, beside a processor hog:
# what fails only now and then shows. `make repeat TIMES=50 AT_MOST=3000` (seconds); exit 1 where
# anything failed, and var/repeat-N.log then has that run.
set -u
cd "$(dirname "$0")/.." || exit 1
times=${TIMES:-50}
seconds=${AT_MOST:-3000}
python=.venv/bin/python
log=$(mktemp -d)
trap 'rm -rf "$log"; [ -z "${hog:-}" ] || kill "$hog" 2>/dev/null' EXIT
tests="tests/unit/test_supervised.py tests/unit/test_liveness.py tests/unit/test_consumer_progress.py tests/unit/test_background_publisher.py
    tests/unit/test_celery_wakeups.py tests/unit/test_concurrency.py
    tests/integration/test_pump.py tests/integration/test_recorder.py tests/integration/test_recording_results.py"
# Whole worker processes, some minutes a run: `make repeat PROCESSES=1 TIMES=10`.
[ -z "${PROCESSES:-}" ] || tests="tests/integration/test_worker_processes.py tests/integration/test_lost_broker.py
    tests/integration/test_callbacks_processes.py tests/chaos/test_kill.py"
[ -z "${TESTS:-}" ] || tests=$TESTS
"$python" -c 'while True: pass' &
hog=$!
began=$(date +%s)
done=0
failed=0
while [ "$done" -lt "$times" ] && [ $(($(date +%s) - began)) -lt "$seconds" ]; do
    done=$((done + 1))
    # shellcheck disable=SC2086 - a list of files
    if ! "$python" -m pytest -n 0 -q -p no:cacheprovider $tests ${ARGS:-} >"$log/run" 2>&1; then
        failed=$((failed + 1))
        echo "run $done failed:"
        grep -E "^(FAILED|ERROR)|random seed" "$log/run"
        mkdir -p var && cp "$log/run" "var/repeat-$done.log"
    fi
done
echo "$done runs, $failed failed, $(($(date +%s) - began)) s"
[ "$failed" -eq 0 ]
