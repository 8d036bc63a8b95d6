#!/bin/sh
# Shows that nothing was left out of one subject's history: reads all entries up to the checkpoint,
# makes the tree's root again from them, and counts the versions of the subject: 1, 2, … n.
#   count-subject.sh PACK UID|SUBJECT     a uid of 64 hex digits, or a name such as release:pay-1.42
#   count-subject.sh PACK SUBJECT whole   also refuses if the pack lacks the leaf of one of its events
# Only openssl, sha256sum, xxd, base64, awk, sed, split. Run verify-proof.sh PACK first: it checks who signed
# the checkpoint, and this takes size and root from there. Exit codes as there: 0, 9, other.
set -eu; export LC_ALL=C
[ $# -ge 2 ] && [ -d "$1" ] || { echo "usage: count-subject.sh PACK UID|SUBJECT [whole]" >&2; exit 2; }
pack=$1; uid=$2; work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
refuse() { echo "REFUSED: $*"; exit 9; }; holds() { echo "ok: $*"; }
hashes() { find "$work/in" -type f | sort | xargs sha256sum | cut -c1-64; } # of many files, in order
case $uid in *:*)
  for key in "$pack"/subjects/*.key; do
    [ -f "$key" ] && [ "$(cat "$key")" = "$2" ] || continue
    uid=$(basename "$key" .key); name=$pack/subjects/$uid
    openssl dgst -sha256 -verify "$pack/trust/naming.pub.pem" -signature "$name.sig" "$key" \
      >/dev/null 2>&1 && [ "$(sha256sum <"$name.sig" | cut -c1-64)" = "$uid" ] ||
      refuse "$key does not have the uid $uid"
  done
  [ "$uid" != "$2" ] || refuse "the pack does not disclose the uid of $2"
esac
size=$(sed -n 2p "$pack/checkpoint"); root=$(sed -n 3p "$pack/checkpoint" | base64 -d | xxd -p -c 999)

# Entries (C2SP tlog-tiles): each behind its length in 2 bytes. A leaf is one line of ASCII.
number=0; left=$size; : >"$work/leaves"
while [ "$left" -gt 0 ]; do
  width=256; part=; [ "$left" -ge 256 ] || { width=$left; part=.p/$left; }
  path=$(printf %03d $((number % 1000))); high=$((number / 1000))
  while [ $high -gt 0 ]; do path=$(printf 'x%03d/%s' $((high % 1000)) "$path"); high=$((high / 1000)); done
  bundle=$pack/tile/entries/$path$part; [ -f "$bundle" ] || refuse "$bundle is missing"
  xxd -p -c 65536 "$bundle" | awk -v width="$width" '
    BEGIN { for (i = 0; i < 256; i++) { h = sprintf("%02x", i); value[h] = i; text[h] = sprintf("%c", i) } }
    { hex = hex $0 }
    END { for (at = 1; at < length(hex); n++) {
        long = 256 * value[substr(hex, at, 2)] + value[substr(hex, at + 2, 2)]; leaf = ""
        for (at += 4; long > 0; long--) { leaf = leaf text[substr(hex, at, 2)]; at += 2 }
        print leaf }
      if (n != width) exit 1 }' >>"$work/leaves" || refuse "$bundle does not hold $width entries"
  number=$((number + 1)); left=$((left - width))
done

# The root (RFC 6962, 2.1): SHA-256(0, leaf), then SHA-256(1, left, right) by pairs, an odd one as it is.
mkdir "$work/in"
awk -v out="$work/in/" '{ file = out sprintf("%012d", NR); printf "%c%s", 0, $0 >file; close(file) }' \
  "$work/leaves"
hashes >"$work/row"
while [ "$(wc -l <"$work/row")" -gt 1 ]; do
  rm -rf "$work/in"; mkdir "$work/in"; count=$(wc -l <"$work/row")
  awk 'NR % 2 { left = $0; next } { print "01" left $0 }' "$work/row" | xxd -r -p |
    split -b 65 -a 6 - "$work/in/"
  { hashes; [ $((count % 2)) = 0 ] || tail -n 1 "$work/row"; } >"$work/above"
  mv "$work/above" "$work/row"
done
[ "$(cat "$work/row")" = "$root" ] || refuse "the entries make another root than the checkpoint's"
holds "the $size entries make the root of the checkpoint: they are all of the log, unaltered"

awk -v uid="$uid" '
  index($0, "\"position\":" NR ",") == 0 { print "entry " NR - 1 " is not that of position " NR; exit 1 }
  at = index($0, "[\"" uid "\",") { version = substr($0, at + 68) + 0; n++
    if (version != n) { print "position " NR " has version " version " where " n " is due"; exit 1 }
    print NR >positions }
  END { if (n) print n }' positions="$work/positions" "$work/leaves" >"$work/said" || refuse "$(cat "$work/said")"
[ -s "$work/said" ] || refuse "no entry names $uid"
holds "$2 has the versions 1 to $(cat "$work/said"), each once, in order, and no other: nothing is left out"
absent=0
while read -r position; do
  if [ ! -f "$pack/events/$position.leaf" ]; then absent=$((absent + 1)); last=$position
  elif [ "$(cat "$pack/events/$position.leaf")" != "$(sed -n "${position}p" "$work/leaves")" ]; then
    refuse "events/$position.leaf is not the entry of the log"; fi
done <"$work/positions"
[ $absent = 0 ] || echo "--: $absent of these events are not in the pack, the last at position $last"
[ $absent = 0 ] || [ "${3-}" != whole ] || refuse "the pack is not whole for $2"
