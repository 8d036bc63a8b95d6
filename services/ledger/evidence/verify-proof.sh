#!/bin/sh
# Checks an evidence pack with openssl (3), sha256sum, xxd, base64, awk and sed: no code of ours.
#   verify-proof.sh PACK            the checkpoint: the log's signature, the witnesses', the quorum
#   verify-proof.sh PACK POSITION   that, and everything that the pack discloses of one event
#   verify-proof.sh PACK all        the same for each event in the pack
# Get the keys and the policy in trust/ from somebody whom you trust, and compare.
# Exit 0: all holds. 9: something does not. Anything else: the check could not be made.
set -eu; export LC_ALL=C
[ $# -ge 1 ] && [ -d "$1" ] || { echo "usage: verify-proof.sh PACK [POSITION|all]" >&2; exit 2; }
if [ "${2-}" = all ]; then count=0 bare=0
  for leaf in "$1"/events/*.leaf; do sh "$0" "$1" "$(basename "$leaf" .leaf)" || exit
    count=$((count + 1)); [ -f "${leaf%.leaf}.json" ] || bare=$((bare + 1)); done
  echo "ok: all of that for $count events, $bare of them redacted"; exit 0; fi
for tool in "openssl pkeyutl -rawin -help" "sha256sum --help" "xxd -v" "base64 --help"; do
  $tool >/dev/null 2>&1 || { echo "this machine cannot do: $tool" >&2; exit 2; }; done
pack=$1; position=${2-}; work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
refuse() { echo "REFUSED: $*"; exit 9; }; holds() { echo "ok: $*"; }
need() { for file; do [ -f "$pack/$file" ] || refuse "$file is missing"; done; }
sha() { sha256sum | cut -c1-64; }; unhex() { xxd -r -p; }; hex() { base64 -d 2>/dev/null | xxd -p -c 999; }
# signature VKEY TYPE: this key's signature of the note as hex in $signature ('' if there is none).
# A vkey is name+id+base64(type, key); the id is SHA-256(name, newline, type, key), first 4 bytes.
signature() {
  name=${1%%+*}; id=${1#*+}; id=${id%%+*}; key=$(printf %s "${1#*+*+}" | hex); signature=
  [ ${#key} = 66 ] && [ "${key%"${key#??}"}" = "$2" ] || refuse "the key of $name is not of type $2"
  [ "$id" = "$({ printf '%s\n' "$name"; printf %s "$key" | unhex; } | sha | cut -c1-8)" ] ||
    refuse "the key of $name has another id"
  printf %s "302a300506032b6570032100${key#??}" | unhex >"$work/key" # the head of a key in DER
  while read -r dash signer value; do
    [ "$dash" = "—" ] && [ "$signer" = "$name" ] || continue
    value=$(printf %s "$value" | hex); case $value in "$id"*) signature=${value#????????} ;; esac; done <"$work/lines"
}
# signed FILE HEX: refuses unless that is a signature of the file by the key (Ed25519, RFC 8032).
signed() {
  printf %s "$2" | unhex >"$work/sig"
  openssl pkeyutl -verify -pubin -keyform DER -inkey "$work/key" -rawin -in "$1" \
    -sigfile "$work/sig" >/dev/null 2>&1 || refuse "the signature of $name is wrong"
}
need checkpoint trust/log.vkey trust/policy trust/naming.pub.pem
sed '/^$/,$d' "$pack/checkpoint" >"$work/text"; sed '1,/^$/d' "$pack/checkpoint" >"$work/lines"
origin=$(sed -n 1p "$work/text"); size=$(sed -n 2p "$work/text"); root=$(sed -n 3p "$work/text" | hex)
signature "$(cat "$pack/trust/log.vkey")" 01
[ "$name" = "$origin" ] && [ -n "$signature" ] || refuse "$name has not signed this tree of $origin"
signed "$work/text" "$signature"; holds "$origin signed its tree of $size entries"
awk '$1 == "witness" { print $2, $3 }' "$pack/trust/policy" >"$work/listed"; : >"$work/met"
while read -r witness vkey; do
  signature "$vkey" 04; [ -n "$signature" ] || continue
  value=${signature#????????????????}; time=$((0x${signature%"$value"}))
  { printf 'cosignature/v1\ntime %s\n' "$time"; cat "$work/text"; } >"$work/stamped"
  signed "$work/stamped" "$value"; echo "$witness" >>"$work/met"
  holds "$name saw it continue the tree before, $(date -u -d "@$time" 2>/dev/null || echo "$time")"
done <"$work/listed"
awk '!rules { met[$1] = 1; next } $1 == "quorum" { quorum = $2 } $1 == "group" { n = 0
  for (i = 4; i <= NF; i++) n += met[$i]; met[$2] = n >= ($3 == "all" ? NF - 3 : $3 == "any" ? 1 : +$3) }
  END { exit !(quorum == "none" || met[quorum]) }' "$work/met" rules=1 "$pack/trust/policy" ||
  refuse "the quorum of the policy is not met"
holds "that is the quorum of the policy"; [ -n "$position" ] || exit 0
event=events/$position; leaf=$pack/$event.leaf; need "$event.leaf" "$event.tlog-proof"
sed '/^$/,$d' "$pack/$event.tlog-proof" >"$work/proof"; sed '1,/^$/d' "$pack/$event.tlog-proof" |
  cmp -s - "$pack/checkpoint" || refuse "a proof for another tree than the checkpoint's"
at=$((position - 1)); last=$((size - 1)); hash=$({ printf '\000'; cat "$leaf"; } | sha)
[ "$(sed -n 1p "$work/proof")" = c2sp.org/tlog-proof@v1 ] && grep -qx "index $at" "$work/proof" &&
  [ $at -le $last ] || refuse "not a proof for the entry of position $position"
for line in $(sed '1,/^index /d' "$work/proof"); do # RFC 9162, 2.1.3.2
  beside=$(printf %s "$line" | hex); [ ${#beside} = 64 ] && [ $last -gt 0 ] || refuse "a proof too long"
  if [ $((at % 2)) = 1 ] || [ $at = $last ]; then hash=$(printf '01%s%s' "$beside" "$hash" | unhex | sha)
    while [ $((at % 2)) = 0 ] && [ $at -gt 0 ]; do at=$((at / 2)); last=$((last / 2)); done
  else hash=$(printf '01%s%s' "$hash" "$beside" | unhex | sha); fi
  at=$((at / 2)); last=$((last / 2)); done
[ $last = 0 ] && [ "$hash" = "$root" ] || refuse "the leaf of position $position is not in the tree"
grep -q "^{\"commitment\":\"[0-9a-f]*\",\"event\":\"[^\"]*\",\"position\":$position," "$leaf" ||
  refuse "the leaf is not that of position $position"
holds "the tree holds the leaf of position $position"
if [ -f "$pack/$event.json" ] || [ -f "$pack/$event.salt" ]; then need "$event.json" "$event.salt"
  commitment=$(cat "$pack/$event.salt" "$pack/$event.json" | sha)
  grep -q "^{\"commitment\":\"$commitment\"," "$leaf" || refuse "the body is not the one in the leaf"
  holds "$event.json is what was recorded at position $position"
else # a body that is withheld is not a redacted one: of that the pack has the record
  for record in "$pack"/events/*.json; do
    grep -q '"source":"/ledger/redactions"' "$record" && grep -q "\"position\":$position[,}]" "$record" &&
      grep -q '"approved_by":' "$record" && redacted=$record; done
  [ -n "${redacted-}" ] || refuse "the body of position $position is not in this pack, and no redaction of it"
  holds "the body of position $position was redacted: events/$(basename "$redacted") says who agreed"; fi
openssl rsa -pubin -in "$pack/trust/naming.pub.pem" -noout -text 2>/dev/null | tr -d '\n' |
  grep -q '(2048 bit).*Exponent: 65537 ' || refuse "the naming key is not RSA of 2048 bits with 65537"
for uid in $(grep -o '\["[0-9a-f]\{64\}",' "$leaf" | cut -c3-66); do name=subjects/$uid
  [ -f "$pack/$name.sig" ] || { echo "--: the subject $uid is not disclosed"; continue; }
  need "$name.key"; [ "$(sha <"$pack/$name.sig")" = "$uid" ] || refuse "$name.sig is not that of the uid"
  openssl dgst -sha256 -verify "$pack/trust/naming.pub.pem" -signature "$pack/$name.sig" \
    "$pack/$name.key" >/dev/null 2>&1 || refuse "$name.key does not have this uid"
  holds "it is version $(grep -o "\"$uid\",[0-9]*" "$leaf" | cut -d, -f2) of $(cat "$pack/$name.key")"; done
