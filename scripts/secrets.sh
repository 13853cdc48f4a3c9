#!/bin/sh
# Makes what docker-compose.yml needs and a fresh clone lacks: the APIKEY in var/smsclick_api_key (asked for, or read
# from stdin) and POSTGRES_PASSWORD in .env. What is there already stays as it is.
set -eu

cd "$(dirname "$0")/.."

die() {
    echo "secrets: $*" >&2
    exit 1
}

key_file=var/smsclick_api_key

# Compose mounts the file as it is, with this machine's owner and mode, and the containers run as user 10001: the file
# is readable for everybody, and its folder closed to everybody else instead. The mount does not pass through the folder.
mkdir -p var && chmod 700 var || die "the folder var cannot be made; run this as its owner"

# Older versions of Compose make a folder where they miss the file.
[ ! -d $key_file ] || rmdir $key_file 2>/dev/null || die "$key_file is a folder with files in it; remove it"

if [ ! -s $key_file ]; then
    if [ -t 0 ]; then
        printf 'APIKEY (HERRAMIENTAS > Componentes/APIS in the panel of SMSClick; it is not shown): ' >&2
        trap 'stty echo' EXIT
        trap 'exit 130' INT TERM
        stty -echo
        IFS= read -r key || key=''
        stty echo
        trap - EXIT INT TERM
        echo >&2
    else
        IFS= read -r key || [ -n "$key" ] || key=''
    fi
    key=$(printf %s "$key" | tr -d '[:space:]')
    [ -n "$key" ] || die "no key was given; run it again and paste the key"
    (umask 022 && printf '%s\n' "$key" >$key_file) || die "$key_file cannot be written"
fi
chmod 644 $key_file || die "$key_file belongs to somebody else; make it readable for user 10001"

# Its own line, also behind a last line without an end. PostgreSQL keeps the password of its first start.
if ! grep -qs '^POSTGRES_PASSWORD=.' .env; then
    password=$(od -An -N24 -tx1 /dev/urandom | tr -d ' \n')
    (
        umask 077
        [ ! -s .env ] || [ -z "$(tail -c 1 .env)" ] || echo >>.env
        echo "POSTGRES_PASSWORD=$password" >>.env
    ) || die ".env cannot be written"
fi

echo "The key is in $key_file and the password of PostgreSQL in .env. Next: docker compose up --build --detach"
