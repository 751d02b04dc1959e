#!/bin/sh
# Makes a throw-away SoftHSM2 token to play with: softhsm/init-token.sh FOLDER [LABEL]
set -eu
if [ $# -lt 1 ]; then
  echo "usage: $0 FOLDER [LABEL]" >&2
  exit 2
fi
here=$(cd "$(dirname "$0")" && pwd)
label=${2:-playground}
umask 077
mkdir -p "$1"
folder=$(cd "$1" && pwd)
case $folder in
*'#'* | *=*)
  echo "$0: SoftHSM2's configuration can't hold \"#\" or \"=\" in a path: give a folder without them, not $folder" >&2
  exit 1
  ;;
esac
mkdir -p "$folder/tokens"
escaped=$(printf '%s' "$folder/tokens" | sed 's/[&|\\]/\\&/g')
sed "s|@TOKEN_FOLDER@|$escaped|" "$here/softhsm2.conf.template" >"$folder/softhsm2.conf"
export SOFTHSM2_CONF="$folder/softhsm2.conf"
# A PIN on a command line can be seen by every user of the machine: good enough for a toy, and for nothing else.
pin=$(od -An -N12 -tx1 /dev/urandom | tr -d ' \n')
printf '%s\n' "$pin" >"$folder/pkcs11-pin"
softhsm2-util --init-token --free --label "$label" --pin "$pin" --so-pin "$pin" >/dev/null
cat <<END
export SOFTHSM2_CONF='$folder/softhsm2.conf'
export PKCS11_TOKEN_LABEL='$label'
export PKCS11_PIN_FILE='$folder/pkcs11-pin'
END
