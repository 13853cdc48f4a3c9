#!/bin/sh
# Makes .venv from requirements.lock, or does nothing when it is up to date. Called by every make target; needs
# nothing but a Python of 3.11 or newer with venv, and the package registry that pip is set up for.
set -eu

cd "$(dirname "$0")/.."

# A tool's name set in the environment of a person must not send the packages elsewhere.
unset PYTHONHOME PYTHONPATH PIP_USER PIP_TARGET PIP_PREFIX PIP_ROOT PIP_REQUIRE_HASHES PIP_NO_DEPS PIP_DRY_RUN || true
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 PYTHONUTF8=1

venv=.venv
stamp=$venv/.set-up
unfinished=$venv/.set-up-unfinished
log=$venv/set-up.log

die() {
    echo "set-up: $*" >&2
    exit 1
}

# The path is part of it: a virtual environment that was moved or copied has its old path in every script.
wanted=$(pwd; cksum requirements.lock pyproject.toml scripts/setup.sh)

up_to_date() {
    [ -x $venv/bin/python ] && [ ! -e $unfinished ] && [ -f $stamp ] && [ "$(cat $stamp)" = "$wanted" ]
}

# Two makes at once: the second waits, and then finds the work done.
if ! up_to_date && command -v flock >/dev/null 2>&1; then
    exec 9<scripts/setup.sh
    flock 9
fi
if up_to_date; then exit 0; fi

old=''
lame=''
python=''
for name in python3 python3.13 python3.12 python3.11; do
    found=$("$name" -c 'import sys; print("%d.%d" % sys.version_info[:2]); sys.exit(sys.version_info < (3, 11))' \
        2>/dev/null) || { [ -z "$found" ] || old=$found; continue; }
    "$name" -c 'import ensurepip, venv' 2>/dev/null || { lame=$found; continue; }
    python=$name
    break
done
if [ -z "$python" ]; then
    [ -z "$lame" ] || die "Python $lame has no venv module; on Debian and Ubuntu: apt install python3-venv (or python$lame-venv)"
    [ -z "$old" ] || die "Python 3.11 or newer is needed, python3 here is $old; install python3.11 or newer"
    die "python3 was not found; install Python 3.11 or newer (on Debian and Ubuntu: apt install python3 python3-venv)"
fi

usable() {
    [ ! -e $unfinished ] &&
        { [ ! -f $stamp ] || [ "$(head -n 1 $stamp)" = "$(pwd)" ]; } &&
        $venv/bin/python -c 'import sys, pip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

began=$(date +%s)
echo "Setting up .venv from requirements.lock with Python $found (once; about a minute) ..."
if ! usable; then
    # A virtual environment that is not complete cannot be repaired; make a new one.
    rm -rf $venv
    mkdir $venv
    : >$unfinished
    "$python" -m venv $venv >$log 2>&1 ||
        die "python3 -m venv failed: $(tail -n 1 $log) (on Debian and Ubuntu: apt install python3-venv)"
fi
: >$unfinished
: >$log

pip_install() {
    $venv/bin/python -m pip install --quiet "$@" >>$log 2>&1 </dev/null && return 0
    if grep -qE 'DO NOT MATCH THE HASHES' $log; then
        die "a package differs from its hash in requirements.lock; nothing was trusted, details in $log"
    elif grep -qE 'Retrying \(Retry|Max retries exceeded|name resolution|NewConnectionError|ProxyError|SSLError' $log; then
        registry=${PIP_INDEX_URL:-$($venv/bin/python -m pip config get global.index-url 2>/dev/null || echo pypi.org)}
        die "pip cannot reach the package registry ($registry); check the network or proxy and run the same command" \
            "again, details in $log"
    elif grep -qi 'No space left' $log; then
        die "the disk is full; details in $log"
    fi
    die "pip failed: $(grep -E '^ *ERROR' $log | head -n 1), details in $log"
}

pip_install --require-hashes -r requirements.lock
pip_install --no-deps --no-build-isolation --editable .

echo "$wanted" >$stamp
rm -f $unfinished
echo "Set up in $(($(date +%s) - began)) s."
