#!/bin/sh
# Installs the Debian packages of system_packages.txt that are missing, waiting for apt's locks. What cannot
# be installed is said, with apt's own words. Where tools are promised (CI=true or EDGETOOL_REQUIRE_TOOLS=1) that is a
# failure; elsewhere (or with EDGETOOL_REQUIRE_TOOLS=0) the tests that need them are skipped, and pytest lists them.
set -u
PATH=$PATH:/usr/sbin:/sbin
WAIT_S=${EDGETOOL_APT_WAIT_S:-900}
cd "$(dirname "$0")" || exit 1

missing() {
  while read -r need package; do
    case $need in
    "" | "#"*) continue ;;
    /*) # shellcheck disable=SC2086 # a pattern
      ls -d $need >/dev/null 2>&1 ;;
    chromium) command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null ;;
    *) command -v "$need" >/dev/null ;;
    esac || echo "$package"
  done <system_packages.txt | sort -u | tr '\n' ' '
}

give_up() {
  echo "NOTE: these Debian packages are missing and could not be installed: $needed"
  echo "      ($1)"
  echo "      To install them: sudo apt-get install $needed"
  case ${EDGETOOL_REQUIRE_TOOLS:-${CI:-}} in
  true | 1) echo "      CI or EDGETOOL_REQUIRE_TOOLS is set: this is a failure." && exit 1 ;;
  esac
  echo "      The tests that need them will be skipped; pytest lists them at its end."
  exit 0
}

# One apt-get command; while another program holds a lock, again. apt itself waits for dpkg's lock alone, not for that of the lists.
apt() {
  end=$(($(date +%s) + WAIT_S))
  while :; do
    # shellcheck disable=SC2086 # $run is a word or two, or none
    said=$(DEBIAN_FRONTEND=noninteractive $run apt-get -o DPkg::Lock::Timeout="$WAIT_S" "$@" 2>&1) && return 0
    case $said in
    *"Could not get lock"* | *"Unable to lock"*) ;;
    *) break ;;
    esac
    [ "$(date +%s)" -lt "$end" ] || break
    echo "Another program holds apt's lock; waiting for it ..."
    sleep 5
  done
  echo "apt-get $* failed:"
  echo "$said" | tail -n 20 | sed 's/^/    /'
  return 1
}

needed=$(missing)
[ -z "$needed" ] && exit 0
command -v apt-get >/dev/null || give_up "no apt-get here"
run=""
if [ "$(id -u)" != 0 ]; then
  sudo -n true 2>/dev/null || give_up "needs root, and sudo asks for a password"
  run="sudo -n --preserve-env=DEBIAN_FRONTEND"
fi
echo "Installing Debian packages for the tests: $needed"
apt update -qq # where one source fails, those that answered may do
# The sanitizers' package is named after clang's version.
version=$(apt-cache depends clang 2>/dev/null | sed -n 's/.*Depends: clang-\([0-9]*\)$/\1/p' | head -n 1)
needed=$(echo "$needed" | sed "s/libclang-rt-dev/libclang-rt-${version:-14}-dev/")
# shellcheck disable=SC2086 # the list is words
apt install -y -qq --no-install-recommends $needed || give_up "apt-get's words are above"
still=$(missing)
[ -z "$still" ] || { needed=$still; give_up "installed, and yet not there"; }
