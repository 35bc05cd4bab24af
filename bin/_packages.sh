# shellcheck shell=bash
# Fetching the embedded servers: sourced by bin/services, which sets HOME_DIR, SERVERS_DIR, SUITE and PG_MAJOR.
#
# A private apt (own sources, lists, package status and cache) resolves and downloads PostgreSQL, TimescaleDB,
# pgvector and Valkey from Debian, checks every signature and hash, and `dpkg-deb -x` unpacks them into
# SERVERS_DIR. Nothing is installed on the host, no maintainer script runs, no root is needed. Every program
# gets a small wrapper that starts it with the loader and libc beside it, so the host's libc does not matter.

APT_DIR=$HOME_DIR/apt

# Declared "already installed" in the private package status: no server here needs their contents at run time.
LEFT_OUT="debconf postgresql-common postgresql-client-common ssl-cert locales libaudit-common libsasl2-modules-db
 openssl-provider-legacy readline-common libpam-modules-bin libpam-modules netbase sensible-utils
 init-system-helpers sysvinit-utils lsb-base adduser perl perl-base procps libllvm19 libllvm20 libllvm21"

require_apt() {
  local tool
  for tool in apt-get apt-cache apt-config dpkg dpkg-deb; do
    command -v "$tool" >/dev/null 2>&1 || die "this host has no $tool, so the embedded servers cannot be fetched.
  Two other ways: set DATABASE_URL and REDIS_URL (environment or .env) to servers of yours -
  PostgreSQL with TimescaleDB and pgvector, and Valkey or Redis - or use Docker: docker compose up (see README.md)."
  done
}

# ---------------------------------------------------------------- where Debian's packages come from
apt_archives() { # addresses of the archives that the host's apt uses, without the trailing slash
  # shellcheck disable=SC2016
  apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 2>/dev/null | sed 's#/*$##' | sort -u
}

sibling_archives() { # on a derived distribution: the same server's Debian tree, then what its own tools name
  apt_archives | sed -n 's#^\(https\{0,1\}://.*\)/[^/]*$#\1/debian#p'
  sed -n 's#^BaseURI: *\(.*/debian\)/*$#\1#p' /usr/share/python-apt/templates/Debian.info 2>/dev/null
  sed -n 's#^ *DEF_MIRROR="\{0,1\}\([^"]*/debian\)/*"\{0,1\}$#\1#p' /usr/sbin/debootstrap 2>/dev/null
}

find_mirror() { # sets MIRROR and SECURITY_MIRROR
  MIRROR=${EMB_MIRROR:-} SECURITY_MIRROR=${EMB_SECURITY_MIRROR:-}
  [ -n "$MIRROR" ] || MIRROR=$(apt_archives | grep '/debian$' | head -n1 || true)
  [ -n "$SECURITY_MIRROR" ] || SECURITY_MIRROR=$(apt_archives | grep '/debian-security$' | head -n1 || true)
  [ -z "$MIRROR" ] || return 0
  local candidate
  for candidate in $(sibling_archives | awk '!seen[$0]++' | head -n 6); do
    say "trying Debian's packages at ${candidate#*://}"
    MIRROR=$candidate
    if write_apt_conf && private_apt_update 2>/dev/null; then return 0; fi
  done
  die "this host's apt knows no Debian archive that answers. Name one (the address ends in /debian; Debian's own web
  site lists them as 'mirrors') and start again:  EMB_MIRROR=<address> make demo
  or set DATABASE_URL and REDIS_URL to servers of yours, or use Docker: docker compose up (see README.md)."
}

# ---------------------------------------------------------------- the private apt
signed_by() { # inlined, which also works where apt's own user cannot read the key file
  printf 'Signed-By:\n'
  sed 's/^$/./; s/^/ /' "$ROOT/bin/debian-$SUITE.asc"
}

write_sources() {
  local arch; arch=$(dpkg --print-architecture)
  printf 'Types: deb\nURIs: %s\nSuites: %s %s-updates\nComponents: main\nArchitectures: %s\n' \
    "$MIRROR" "$SUITE" "$SUITE" "$arch"
  signed_by
  [ -n "$SECURITY_MIRROR" ] || return 0
  printf '\nTypes: deb\nURIs: %s\nSuites: %s-security\nComponents: main\nArchitectures: %s\n' \
    "$SECURITY_MIRROR" "$SUITE" "$arch"
  signed_by
}

write_status() {
  local package arch; arch=$(dpkg --print-architecture)
  for package in $LEFT_OUT; do
    printf 'Package: %s\nStatus: install ok installed\nPriority: optional\nSection: misc\nMaintainer: nobody\nArchitecture: %s\nMulti-Arch: foreign\nVersion: 99:0\nDescription: left out of the embedded servers\n\n' \
      "$package" "$arch"
  done
}

write_apt_conf() {
  mkdir -p "$APT_DIR"/{sources,lists/partial,debs/partial,log}
  write_sources >"$APT_DIR/sources/debian.sources"
  write_status >"$APT_DIR/status"
  { # the host's network settings (proxy and the like), but none of its hooks or sources
    apt-config dump | grep '^Acquire::' | grep -v '^Acquire::\(IndexTargets\|Languages\)' || true
    cat <<EOT
Dir::Etc::main "/dev/null";
Dir::Etc::parts "/dev/null";
Dir::Etc::sourcelist "/dev/null";
Dir::Etc::sourceparts "$APT_DIR/sources/";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
Dir::Etc::trusted "/dev/null";
Dir::Etc::trustedparts "/dev/null";
Dir::State "$APT_DIR";
Dir::State::lists "$APT_DIR/lists";
Dir::State::status "$APT_DIR/status";
Dir::Cache "$APT_DIR";
Dir::Cache::archives "$APT_DIR/debs";
Dir::Log "$APT_DIR/log";
APT::Architecture "$(dpkg --print-architecture)";
APT::Architectures "$(dpkg --print-architecture)";
APT::Sandbox::User "";
APT::Install-Recommends "0";
APT::Get::AllowUnauthenticated "0";
Acquire::AllowInsecureRepositories "0";
Acquire::Languages "none";
Acquire::Retries "3";
EOT
  } >"$APT_DIR/apt.conf"
}

private_apt() { APT_CONFIG=$APT_DIR/apt.conf "$@" 9>&-; }
private_apt_update() { private_apt apt-get -qq -o APT::Update::Error-Mode=any update; }

# ---------------------------------------------------------------- download and unpack
download() {
  local packages="postgresql-$PG_MAJOR postgresql-$PG_MAJOR-timescaledb postgresql-$PG_MAJOR-pgvector valkey-server"
  say "reading Debian $SUITE's package lists"
  private_apt_update || die "the package lists could not be read: is the network there, and is ${MIRROR#*://} a Debian archive?"
  say "downloading PostgreSQL $PG_MAJOR, TimescaleDB, pgvector and Valkey (about 43 MB)"
  # shellcheck disable=SC2086
  private_apt apt-get -qq install --download-only -y $packages >/dev/null || die "the download failed: start again, it goes on where it stopped"
  # What the solver chose now, each checked against the signed index (apt does not hash a cached file again).
  # shellcheck disable=SC2086
  private_apt apt-get install -s -y $packages | sed -n 's/^Inst \([^ ]*\) (\([^ ]*\) .*/\1=\2/p' >"$APT_DIR/selected"
  # shellcheck disable=SC2046
  private_apt apt-cache show --no-all-versions $(cat "$APT_DIR/selected") | awk '
    function flush() { if (p != "") print h "  " p "_" v "_" a ".deb"; p = "" }
    /^Package: / {p=$2} /^Version: / {v=$2; gsub(":", "%3a", v)} /^Architecture: / {a=$2} /^SHA256: / {h=$2}
    /^$/ {flush()} END {flush()}' | sort -u -k2 >"$APT_DIR/sha256"
  [ "$(wc -l <"$APT_DIR/sha256")" -eq "$(wc -l <"$APT_DIR/selected")" ] || die "the index does not list every chosen package"
  (cd "$APT_DIR/debs" && sha256sum --quiet -c ../sha256 >&2) || die "a downloaded package is damaged: remove $APT_DIR/debs and start again"
}

prune() { # documentation, translations and languages inside the database that nobody here uses
  local new=$1 pglib=$1/usr/lib/postgresql/$PG_MAJOR/lib
  rm -rf "$new"/usr/share/{doc,man,locale,lintian,bug,gcc,gdb,bash-completion,gitweb,info} "$new"/usr/include \
    "$new"/usr/lib/*-linux-gnu/gconv "$new"/usr/lib/systemd "$new"/etc/init.d "$pglib/bitcode" "$pglib"/llvmjit*
  rm -f "$new/usr/share/zoneinfo/localtime" "$pglib"/*plperl*.so "$pglib"/*plpython3*.so "$pglib"/*pltcl*.so
}

is_elf() { [ -f "$1" ] && [ ! -h "$1" ] && [ "$(head -c 4 "$1" | od -An -c | tr -d ' ')" = '177ELF' ]; }

wrap() { # wrap FILE UP LOADER LIBS: FILE becomes a script, the program moves beside it as .NAME.elf
  local name dir; name=$(basename "$1"); dir=$(dirname "$1")
  mv "$1" "$dir/.$name.elf"
  cat >"$1" <<EOT
#!/bin/sh
# Starts .$name.elf with this tree's own loader and libraries.
case \$0 in /*) s=\$0 ;; */*) s=\$PWD/\$0 ;; *) s=\$(command -v -- "\$0") ;; esac
[ ! -h "\$s" ] || s=\$(readlink -f -- "\$s")
d=\${s%/*}; p=\$d/$2
unset LD_PRELOAD LD_LIBRARY_PATH
exec "\$p/$3" --inhibit-cache --library-path "\$p/$4" --argv0 "\$s" "\$d/.$name.elf" "\$@"
EOT
  chmod 755 "$1"
}

wrap_programs() {
  local new=$1 libs loader= file
  libs=$(cd "$new" && echo usr/lib/*-linux-gnu)
  for file in "$new"/usr/lib/*-linux-gnu/ld-linux-*.so.* "$new"/usr/lib/ld-linux-*.so.*; do
    if [ -e "$file" ]; then loader=${file#"$new"/}; break; fi
  done
  [ -n "$loader" ] && [ -d "$new/$libs" ] || die "the downloaded packages hold no loader"
  for file in "$new/usr/lib/postgresql/$PG_MAJOR/bin"/*; do
    if is_elf "$file"; then wrap "$file" ../../../../.. "$loader" "$libs"; fi
  done
  # valkey-server may be a link to one program that looks at its own name: each name becomes a file of its own.
  for file in "$new"/usr/bin/valkey-{server,cli}; do
    if [ -h "$file" ]; then ln -f "$(readlink -f "$file")" "$file"; fi
  done
  for file in "$new"/usr/bin/valkey-{server,cli}; do
    if is_elf "$file"; then wrap "$file" ../.. "$loader" "$libs"; fi
  done
}

# Debian's PostgreSQL reads time zones from /usr/share/zoneinfo. Where the host has none (slim images) the path
# in the two programs that use it is replaced, in place, by one of the same length relative to the data.
bundle_timezones() {
  local new=$1 file
  if [ -e /usr/share/zoneinfo/UTC ]; then return 0; fi
  for file in .postgres.elf .initdb.elf; do
    sed -i 's#/usr/share/zoneinfo\x00#./.embedded.zonedir\x00#' "$new/usr/lib/postgresql/$PG_MAJOR/bin/$file"
  done
  : >"$new/.own-timezones"
}

unpack() {
  local new=$HOME_DIR/.servers.$$ hash deb count=0
  rm -rf "$HOME_DIR"/.servers.*; mkdir "$new"
  while read -r hash deb; do
    dpkg-deb -x "$APT_DIR/debs/$deb" "$new" || die "$deb (${hash:0:12}) could not be unpacked: is the disk full?"
    count=$((count + 1))
  done <"$APT_DIR/sha256"
  [ "$count" -gt 10 ] || die "apt chose only $count packages"
  prune "$new"; wrap_programs "$new"; bundle_timezones "$new"
  "$new/usr/lib/postgresql/$PG_MAJOR/bin/postgres" --version >/dev/null || die "the unpacked server does not run on this machine"
  cp "$APT_DIR/sha256" "$new/.packages"
  echo "$1" >"$new/.complete"
  rm -rf "$HOME_DIR/.servers-old"
  if [ -d "$SERVERS_DIR" ]; then mv "$SERVERS_DIR" "$HOME_DIR/.servers-old"; fi
  mv "$new" "$SERVERS_DIR"
  rm -rf "$HOME_DIR/.servers-old" "$APT_DIR"
}

servers_version() { echo "1 $SUITE $PG_MAJOR $(dpkg --print-architecture 2>/dev/null || uname -m)"; }
servers_installed() { [ "$(cat "$SERVERS_DIR/.complete" 2>/dev/null)" = "$(servers_version)" ]; }

install_servers() { # install_servers [--upgrade]
  if [ "${1:-}" != --upgrade ] && servers_installed; then return 0; fi
  local started=$SECONDS
  require_apt
  find_mirror
  write_apt_conf
  download
  unpack "$(servers_version)"
  say "unpacked $(wc -l <"$SERVERS_DIR/.packages") packages, $(du -sh "$SERVERS_DIR" | cut -f1), after $((SECONDS - started)) s"
}
