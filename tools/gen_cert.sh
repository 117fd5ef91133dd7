#!/usr/bin/env bash
# Makes a certificate for a GoChatSecure server, and a CA for clients to trust.
# Needs bash 3.2 or later and openssl 1.1.1 or later (macOS's LibreSSL will do).
set -euo pipefail
umask 077
export LC_ALL=C # so that [a-z] means ASCII only
unset CDPATH

# 397: browsers refuse over 398 days from public CAs, so this is the length they
# are used to. 825: Apple refuses more even from a CA that the user added.
days=397 max_days=825
out=. name=server force='' quiet=''
hosts=localhost,127.0.0.1,::1
sans=DNS:localhost,IP:127.0.0.1,IP:::1
mask6=ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff
permitted="permitted;DNS:localhost,permitted;IP:127.0.0.0/255.0.0.0,permitted;IP:::1/$mask6"

usage() {
  cat <<EOF
Usage: tools/gen_cert.sh [options]
Makes server.crt, server.key and ca.crt for localhost, 127.0.0.1 and ::1.

  --host NAME_OR_IP  cover this too: a host name, *.some.domain or an address
                     (repeat it, or separate several with commas)
  --out DIR          write here, making it if need be (default: here)
  --name BASENAME    BASENAME.crt and BASENAME.key (default: server)
  --days N           how long they last, 1 to $max_days (default: $days)
  --force            replace files that exist
  --quiet            print errors only
  -h, --help         print this
EOF
}

fail() { # "CAUSE; MEND" [STATUS]
  printf 'gen_cert.sh: %s\n' "$1" >&2
  exit "${2:-1}"
}

is_ipv4() {
  local octet='(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])'
  local re="^$octet(\\.$octet){3}\$"
  [[ $1 =~ $re && $1 != 0.0.0.0 ]]
}

is_ipv6() {
  local g='[0-9a-f]{1,4}' groups=${1/::/:}
  local full="^($g:){7}$g\$" short="^(($g:)*$g)?::(($g:)*$g)?\$" up_to_7="^($g:){1,7}\$"
  groups=${groups#:} groups=${groups%:}:
  [[ $1 =~ $full ]] || [[ $1 =~ $short && $groups =~ $up_to_7 ]]
}

is_name() { # clients take a name that ends in a number for an address, and no *.org
  local label='[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?' number='(^|\.)([0-9]+|0x[0-9a-f]*)$'
  local re="^(\\*\\.$label\\.)?$label(\\.$label)*\$"
  [[ ${#1} -le 253 && $1 =~ $re && ! $1 =~ $number ]]
}

add_host() {
  local host mend='give --host one like chat.example.org, *.example.org, 192.0.2.7 or 2001:db8::7'
  host=$(printf '%s.' "$1" | tr '[:upper:]' '[:lower:]') # the dot keeps a newline at the end
  host=${host%.}
  case ,$hosts, in *",$host,"*) return ;; esac
  if is_ipv4 "$host"; then
    sans+=,IP:$host permitted+=",permitted;IP:$host/255.255.255.255"
  elif is_ipv6 "$host"; then
    sans+=,IP:$host permitted+=",permitted;IP:$host/$mask6"
  elif is_name "$host"; then
    sans+=,DNS:$host permitted+=",permitted;DNS:${host#\*.}"
  else
    fail "$(printf %q "$1") is not a host name or address; $mend"
  fi
  hosts+=,$host
}

while [ $# -gt 0 ]; do
  case $1 in
    --host | --out | --name | --days)
      case ${2:-} in '' | -*) fail "$1 needs a value; see --help" 2 ;; esac ;;
  esac
  case $1 in
    --host)
      rest=$2,
      while [ -n "$rest" ]; do add_host "${rest%%,*}"; rest=${rest#*,}; done
      shift ;;
    --out) out=$2; shift ;;
    --name) name=$2; shift ;;
    --days) days=$2; shift ;;
    --force) force=yes ;;
    --quiet) quiet=yes ;;
    -h | --help) usage; exit ;;
    *) fail "there is no option $(printf %q "$1"); see --help" 2 ;;
  esac
  shift
done
[[ $days =~ ^[1-9][0-9]{0,2}$ && $days -le $max_days ]] ||
  fail "a certificate cannot last $(printf %q "$days") days; give --days 1 to $max_days"
[[ $name =~ ^[A-Za-z0-9_][A-Za-z0-9._-]{0,99}$ && ! $name =~ ^[Cc][Aa]$ ]] ||
  fail "$(printf %q "$name") will not do as a file name; give --name letters, digits, . _ -, and not ca"
command -v openssl >/dev/null || fail "there is no openssl command; install OpenSSL"

refuse_to_overwrite() {
  local file found=''
  for file in "$name.crt" "$name.key" ca.crt; do
    [ ! -d "$out/$file" ] || fail "$where/$file is a directory; move it or give another --out"
    if [ -e "$out/$file" ] || [ -L "$out/$file" ]; then found+=" $file"; fi
  done
  [ -z "$found" ] || [ -n "$force" ] ||
    fail "already in $where:$found; give --force to replace them, or another --out"
}
printf -v where %q "$out"
refuse_to_overwrite
out=$(mkdir -p -- "$out" 2>/dev/null && cd -- "$out" 2>/dev/null && pwd) ||
  fail "cannot make or enter $where; give another --out"
printf -v where %q "$out"
# Inside the target, so that moving a file out is one rename: nobody sees half.
tmp=$(mktemp -d "$out/.gen_cert.XXXXXX" 2>/dev/null) || fail "cannot write in $where; give another --out"
trap 'cd / && rm -rf -- "$tmp"' EXIT
cd "$tmp"

ossl() {
  openssl "$@" 2>log || fail "openssl $1 failed: $(tail -n 1 log); check the disk and 'openssl version' (1.1.1 or later)"
}

# A kind of name that the constraints leave out is free, so e-mail and URIs are
# held to "invalid", which nobody can own. Directory names stay out: Go and
# rustls refuse a CA that limits them, and no client finds a server by one. The
# CA's own serverAuth rules out client, mail and code-signing certificates.
serial=$(ossl rand -hex 15) # also names the CA: clients confuse CAs of one name
cat >conf <<EOF
[req]
prompt = no
distinguished_name = leaf_dn
[leaf_dn]
CN = localhost
[ca_dn]
CN = GoChatSecure local CA ${serial:0:8}
[ca]
basicConstraints = critical,CA:TRUE,pathlen:0
keyUsage = critical,keyCertSign
extendedKeyUsage = serverAuth
subjectKeyIdentifier = hash
nameConstraints = critical,$permitted,permitted;email:invalid,permitted;URI:invalid
[leaf]
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature
extendedKeyUsage = serverAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
subjectAltName = $sans
EOF
sed 's/= leaf_dn/= ca_dn/' conf >ca.conf
ossl ecparam -name prime256v1 -genkey -noout -out ca.key
ossl ecparam -name prime256v1 -genkey -noout -out key
ossl req -x509 -new -sha256 -config ca.conf -extensions ca -key ca.key -days $((days + 1)) -out ca
ossl req -new -sha256 -config conf -key key -out csr
ossl x509 -req -sha256 -in csr -CA ca -CAkey ca.key -set_serial "0x1$serial" \
  -extfile conf -extensions leaf -days "$days" -out crt
rm -f ca.key # so nothing else can ever be signed with it
ossl verify -purpose sslserver -CAfile ca crt >verified

# The leaf alone is the whole chain: clients have its issuer, ca.crt, already.
# A server that reloads between two moves sees a mismatch and keeps the old pair.
chmod 600 key
chmod 644 crt ca
refuse_to_overwrite # something may have come meanwhile
mv -f key "$out/$name.key"
mv -f crt "$out/$name.crt"
mv -f ca "$out/ca.crt"
[ -z "$quiet" ] || exit 0
ca=$where/ca.crt
cat <<EOF
Made $where/$name.crt, $name.key and ca.crt for
${hosts//,/, }; they last $days days.
The CA's key is deleted: nothing else can ever be signed with it. To renew,
run this again with --force and have clients trust the new ca.crt. To trust it:
  curl      curl --cacert $ca https://localhost:8080/healthz
  wscat     wscat --ca $ca -c 'wss://localhost:8080/ws?token=TOKEN'
  Firefox   Settings > Certificates > Authorities > Import: $ca
  Chrome    (Linux) certutil -d sql:\$HOME/.pki/nssdb -A -t C,, -n gochatsecure -i $ca
  macOS     security add-trusted-cert -r trustRoot -k ~/Library/Keychains/login.keychain-db $ca
  Windows   certutil -user -addstore Root $ca
EOF
