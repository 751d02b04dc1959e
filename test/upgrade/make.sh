#!/usr/bin/env bash
# make.sh RELEASED OUT: has a released version make a pool with all that one can hold, and writes what it left to OUT:
# the database as PostgreSQL's own pg_dump says it, its SoftHSM2 token, and what was done with its keys.
# RELEASED is a checkout of that version, built (`npm ci && npm run build`). Needs PostgreSQL's programs (initdb, postgres,
# pg_dump), softhsm2-util and openssl. As root it runs PostgreSQL as the user postgres.
set -euo pipefail
released=$(realpath "$1")
mkdir -p "$2"
out=$(realpath "$2")
here=$(dirname "$(realpath "$0")")
work=$(mktemp -d)
bin=$(pg_config --bindir)
port=${PORT:-54329}
as() { if [ "$(id -u)" = 0 ]; then setpriv --reuid=postgres --regid=postgres --clear-groups "$@"; else "$@"; fi; }
trap 'as "$bin/pg_ctl" -D "$work/db" -m fast stop >/dev/null 2>&1 || true; rm -rf "$work"' EXIT

chmod 755 "$work"
mkdir "$work/db" "$work/tokens"
[ "$(id -u)" != 0 ] || chown postgres "$work/db"
as "$bin/initdb" -D "$work/db" -U owner --auth=trust --no-sync >/dev/null
as "$bin/pg_ctl" -D "$work/db" -o "-c port=$port -c listen_addresses=127.0.0.1 -c unix_socket_directories=''" -l "$work/db/log" -w start >/dev/null
owner="postgres://owner@127.0.0.1:$port/postgres"

sed "s|^directories.tokendir.*|directories.tokendir = $work/tokens|" > "$work/softhsm2.conf" <<'CONF'
directories.tokendir =
objectstore.backend = file
log.level = ERROR
slots.removable = false
CONF
export SOFTHSM2_CONF="$work/softhsm2.conf"
pin='the upgrade test owns this token'
softhsm2-util --init-token --free --label upgrade --pin "$pin" --so-pin "$pin" >/dev/null

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj '/CN=main.hsm.example' \
  -addext 'subjectAltName=DNS:main.hsm.example,DNS:localhost,IP:127.0.0.1' -keyout "$work/key.pem" -out "$work/cert.pem" 2>/dev/null

DATABASE_URL=$owner node "$released/dist/main.js" migrate
psql -q "$owner" -c 'create role service login in role strongroom_service'
export DATABASE_URL="postgres://service@127.0.0.1:$port/postgres"
export PKCS11_MODULE=${PKCS11_MODULE:-/usr/lib/softhsm/libsofthsm2.so} PKCS11_TOKEN_LABEL=upgrade PKCS11_PIN="$pin"
export STRONGROOM_DOMAIN=hsm.example STRONGROOM_TLS_CERT_FILE="$work/cert.pem" STRONGROOM_TLS_KEY_FILE="$work/key.pem"
export STRONGROOM_LISTEN=127.0.0.1:0 STRONGROOM_METRICS_LISTEN='' STRONGROOM_IDENTITY_LISTEN='' STRONGROOM_WORKERS=1
node "$released/dist/main.js" bootstrap --credentials "$work/administrator.json" --no-security-domain
node "$here/make.mjs" "$released/dist/main.js" "$work" "$out"

# What psql alone reads (\restrict) is left out.
pg_dump --inserts --no-owner --no-comments "$owner" |
  grep -v -e '^--' -e '^$' -e '^\\' -e '^SET default_table' > "$out/database.sql"
node "$here/pack-token.mjs" "$work/tokens" "$out/token.json"
