#!/bin/sh
# Installs the Debian packages that some tests need: the Arm compiler and QEMU, clang with its sanitizers,
# Chromium for the report and the dashboard, systemd to verify the unit, dbus for BLE without a radio, mosquitto for MQTT. Without them those tests are skipped, and say so.
set -u
missing=""
PATH=$PATH:/usr/sbin:/sbin
for pair in arm-none-eabi-gcc:gcc-arm-none-eabi qemu-system-arm:qemu-system-arm clang:clang \
  chromium:chromium systemd-analyze:systemd dbus-daemon:dbus gcc:gcc g++:g++ cmake:cmake aarch64-linux-gnu-gcc:gcc-aarch64-linux-gnu \
  qemu-aarch64-static:qemu-user-static debootstrap:debootstrap fakeroot:fakeroot; do
  command -v "${pair%%:*}" >/dev/null 2>&1 || missing="$missing ${pair#*:}"
done
[ -x /usr/sbin/mosquitto ] || command -v mosquitto >/dev/null 2>&1 || missing="$missing mosquitto"
[ -d /usr/lib/arm-none-eabi ] || missing="$missing libnewlib-arm-none-eabi"
ls -d /usr/lib/llvm-*/lib/clang/*/lib/linux/libclang_rt.asan-* >/dev/null 2>&1 || missing="$missing libclang-rt-14-dev"
[ -d /usr/aarch64-linux-gnu/include ] || missing="$missing libc6-dev-arm64-cross"
[ -z "$missing" ] && exit 0
run=""
[ "$(id -u)" = 0 ] || run="sudo -n"
if command -v apt-get >/dev/null 2>&1 && { [ -z "$run" ] || sudo -n true 2>/dev/null; }; then
  echo "Installing Debian packages for the tests:$missing"
  $run apt-get update -qq >/dev/null 2>&1
  # shellcheck disable=SC2086 # the list is words
  DEBIAN_FRONTEND=noninteractive $run apt-get install -y -qq --no-install-recommends $missing >/dev/null 2>&1 && exit 0
fi
echo "NOTE: these Debian packages are not installed and could not be:$missing"
echo "      the tests that need them will be skipped. To run them: sudo apt-get install$missing"
exit 0
