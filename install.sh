#!/bin/sh
# Installs Spreekkamer on a Raspberry Pi (or another Debian machine), brings it up to date, checks it, takes it away.
#
#   sudo ./install.sh                 install, or bring up to date; a second run changes nothing
#   ./install.sh --check              compare only: a line a difference, exit 1 when there is one
#   sudo ./install.sh --uninstall     take away what was installed; clips and configuration stay
#
#   --wheels DIR      take the Python packages from a folder; nothing is downloaded
#   --keep-wifi       leave the Wi-Fi of a Pi 4 or 5 on
#   --root DIR        into another root, as image builders do; there nothing is started
#   --delete-clips-and-configuration   with --uninstall: these too
#
# Exit codes: 0 done, 1 refused or failed (nothing half-made), 2 wrong usage.
set -eu
umask 022
here=$(cd "$(dirname "$0")" && pwd)

task=install wheels='' root='' keep_wifi='' delete=''
opt=/opt/spreekkamer etc=/etc/spreekkamer store=/var/lib/spreekkamer
installed=$opt/installed # what was put where, so that uninstalling takes away that and nothing else
unended=$opt/unended      # there from the first change to the last step: what was cut off is done again
new=.spreekkamer-new     # what a file is called until all of them are written

usage() {
    sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0" >&2
    exit 2
}

say() { printf '%s\n' "$*"; }

die() {
    printf 'install: %s\n' "$*" >&2
    exit 1
}

read_arguments() {
    while [ $# -gt 0 ]; do
        case $1 in
            --check | --uninstall)
                [ "$task" = install ] || usage
                task=${1#--}
                ;;
            --wheels | --root)
                if [ $# -lt 2 ] || [ ! -d "$2" ]; then die "$1: ${2:-(nothing)} is no folder"; fi
                if [ "$1" = --root ]; then root=$(cd "$2" && pwd); else wheels=$(cd "$2" && pwd); fi
                shift
                ;;
            --keep-wifi) keep_wifi=1 ;;
            --delete-clips-and-configuration) delete=1 ;;
            *) usage ;;
        esac
        shift
    done
    [ "$root" != / ] || root=''
    if [ -n "$delete" ] && [ "$task" != uninstall ]; then usage; fi
    if [ -z "$root" ] && [ "$task" != check ] && [ "$(id -u)" -ne 0 ]; then die "must be root: sudo $0"; fi
}

# ---- what belongs where: KIND MODE TARGET SOURCE, without spaces in them (a source is a file of this tree, or a link's aim)

expected() {
    say "folder 755 $etc -"
    say "folder 755 $etc/firewall.d -"
    say "link - /usr/local/bin/spreekkamer $opt/venv/bin/spreekkamer"
    (cd "$here/firmware_config/root" && find etc -type f) | LC_ALL=C sort | while read -r file; do
        say "file 644 /$file firmware_config/root/$file"
    done
    (cd "$here/systemd" && find . -type f) | sed 's,^\./,,' | LC_ALL=C sort | while read -r file; do
        case $file in
            sysusers.d/*.conf | tmpfiles.d/*.conf) say "file 644 /etc/$file systemd/$file" ;;
            examples/*) say "file 644 $opt/$file systemd/$file" ;; # set-up puts one in place if the camera asks for it
            README.md) ;;
            *) say "file 644 /etc/systemd/system/$file systemd/$file" ;;
        esac
    done
    sed -E '/^(#|$)/d' "$here/firmware_config/masks" | while read -r unit _why; do
        say "link - /etc/systemd/$unit /dev/null"
    done
}

# Those of our units that say when they start, and what they stand on.
enabled_units() {
    (cd "$here/systemd" && grep -ls '^\[Install\]' ./*.target ./*.socket ./*.timer ./*.service) | sed 's,^\./,,'
    for unit in nftables.service systemd-timesyncd.service; do
        if [ -e "$root/usr/lib/systemd/system/$unit" ] || [ -e "$root/lib/systemd/system/$unit" ]; then say "$unit"; fi
    done
}

# ---- the firmware of a Raspberry Pi

boot=/boot/firmware
config_txt=$boot/config.txt cmdline_txt=$boot/cmdline.txt
begin='# >>> spreekkamer: written by install.sh; what you want otherwise goes after the end marker'
end='# <<< spreekkamer'

is_pi() { [ -f "$root$config_txt" ] && [ -f "$root$cmdline_txt" ]; }

is_wifi_kept() { [ -n "$keep_wifi" ] || [ -e "$root$etc/keep-wifi" ]; } # said once, it is remembered

config_block() {
    say "$begin"
    if is_wifi_kept; then sed '/^dtoverlay=disable-wifi$/d' "$here/firmware_config/config.txt"; else cat "$here/firmware_config/config.txt"; fi
    say "$end"
}

config_without_block() {
    awk -v begin="${begin%%:*}" -v end="$end" 'index($0, begin) == 1 {skip = 1} !skip {print} $0 == end {skip = 0}' "$root$config_txt"
}

# Our block stands where it stood, so that lines that somebody put after it still win over it.
wanted_config() {
    if grep -Fqx "$end" "$root$config_txt"; then
        block=$(config_block)
        BLOCK=$block awk -v begin="${begin%%:*}" -v end="$end" \
            'index($0, begin) == 1 {print ENVIRON["BLOCK"]; skip = 1} !skip {print} $0 == end {skip = 0}' "$root$config_txt"
    else
        cat "$root$config_txt"
        config_block
    fi
}

words() { sed -n "s/^$1 //p" "$here/firmware_config/cmdline.txt"; }

has_word() { grep -Eq "(^| )$1( |\$)" "$root$cmdline_txt"; }

wanted_cmdline() {
    line=" $(cat "$root$cmdline_txt") "
    for word in $(words -); do line=$(printf '%s' "$line" | sed "s/ $word / /"); done
    for word in $(words +); do case $line in *" $word "*) ;; *) line="$line$word " ;; esac; done
    printf '%s\n' "$line" | tr -s ' ' | sed 's/^ //; s/ $//'
}

# ---- the program: a virtual environment of its own version, and a link to the one in use

python=${PYTHON:-python3}

program_id() {
    sources=$(cd "$here" && find edge service -type f ! -name '*.pyc' | LC_ALL=C sort | xargs sha256sum | sha256sum)
    rest=$({ cat "$here/requirements/run.lock" "$here/install.sh"; "$python" --version; has_picamera && say picamera; } | sha256sum)
    version=$(sed -n 's/^__version__.*"\(.*\)"$/\1/p' "$here/edge/__init__.py")
    printf '%s-%.12s\n' "$version" "$(printf '%s%s' "$sources" "$rest" | sha256sum)"
}

packages=/usr/lib/python3/dist-packages # of the distribution

has_picamera() { [ -d "$root$packages/picamera2" ]; }

# Every file as it was installed, and none besides.
is_sound() {
    [ -f "$1/MANIFEST" ] && [ "$(find "$1" -type f | wc -l)" -eq $(($(wc -l <"$1/MANIFEST") + 1)) ] &&
        (cd "$1" && sha256sum --quiet --strict -c MANIFEST >/dev/null 2>&1)
}

# The folder's name without the root is what the program will know itself by. A failure leaves nothing: see clean_up.
build_program() {
    unfinished=$root$1
    # picamera2 is of the system alone, with libcamera and much else. Our own packages still go first, and are installed
    # whatever the system has (--ignore-installed), since they are what was tested and their hashes are checked.
    if has_picamera; then visible=--system-site-packages; else visible=''; fi
    # shellcheck disable=SC2086 # no word when empty
    "$python" -m venv --without-pip $visible "$unfinished"
    if [ -n "$wheels" ]; then from="--no-index --find-links $wheels"; else from=''; fi
    pip=$(pip_wheel)
    # shellcheck disable=SC2086 # several words
    PYTHONPATH=$pip PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 PIP_ROOT_USER_ACTION=ignore "$unfinished/bin/python" -m pip \
        --quiet install --require-hashes --only-binary :all: --no-deps --no-compile --ignore-installed $from \
        -r "$here/requirements/run.lock" </dev/null
    # It has one command.
    find "$unfinished/bin" ! -type d ! -name 'python*' -delete
    site=$("$unfinished/bin/python" -I -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
    (cd "$here" && tar --exclude=__pycache__ -cf - edge service) | (cd "$site" && tar --no-same-owner --no-same-permissions -xf -)
    link_lgpio "$site"
    # All cores, which pip does not use. A package may hold a file of another Python's; ours may not.
    "$unfinished/bin/python" -I -m compileall -qq -j 0 "$site" || true
    "$unfinished/bin/python" -I -m compileall -q "$site/edge" "$site/service"
    printf '#!%s/bin/python -IB\nfrom edge.cli import main\n\nmain()\n' "$1" >"$unfinished/bin/spreekkamer"
    chmod 755 "$unfinished/bin/spreekkamer"
    "$unfinished/bin/python" -IB "$unfinished/bin/spreekkamer" --help >/dev/null || die "the new program does not start"
    (cd "$unfinished" && find . -type f ! -name 'MANIFEST*' -print0 | LC_ALL=C sort -z | xargs -0 sha256sum) >"$unfinished/MANIFEST.new"
    mv "$unfinished/MANIFEST.new" "$unfinished/MANIFEST"
}

# The pip that Python brings along to put into environments: used from where it lies, so that the device has none.
pip_wheel() {
    "$python" -I -c '
import ensurepip, glob, os
folders = os.path.join(os.path.dirname(ensurepip.__file__), "_bundled"), "/usr/share/python-wheels"  # the latter: Debian
print(next(wheel for folder in folders for wheel in sorted(glob.glob(os.path.join(folder, "pip-*.whl")))))'
}

# lgpio has no wheel for Python 3.13. Of the system's packages only this one is then let in.
link_lgpio() {
    if "$unfinished/bin/python" -I -c 'import importlib.util, sys; sys.exit(importlib.util.find_spec("lgpio") is None)'; then return; fi
    for file in "$root$packages"/lgpio.py "$root$packages"/_lgpio*.so; do
        if [ -e "$file" ]; then ln -s "$packages/$(basename "$file")" "$1/"; fi
    done
}

# ---- comparing

is_as_expected() { # KIND MODE TARGET SOURCE
    case $1 in
        folder) [ -d "$root$3" ] && has_mode "$2" "$root$3" ;;
        link) [ "$(readlink "$root$3")" = "$4" ] ;;
        file) [ ! -L "$root$3" ] && cmp -s "$here/$4" "$root$3" && has_mode "$2" "$root$3" ;;
    esac
}

has_mode() { # in another root the owners may be yet to come
    [ "$(stat -c %a "$2")" = "$1" ] && { [ -n "$root" ] || [ "$(stat -c %u:%g "$2")" = 0:0 ]; }
}

# Everything that is not as it should be, a line each.
differences() {
    if [ -e "$root$unended" ]; then say "not finished: the last installation; run it again"; fi
    expected | while read -r kind mode target source; do
        if is_as_expected "$kind" "$mode" "$target" "$source"; then continue; fi
        if [ ! -e "$root$target" ] && [ ! -L "$root$target" ]; then
            say "missing: $target"
        elif [ "$kind" = link ]; then
            say "differs: $target (should be a link to $source)"
        else
            say "differs: $target (its text, its mode, which should be $mode, or its owner)"
        fi
    done
    in_use=$(readlink "$root$opt/venv" || true)
    case $in_use in
        '') say "missing: $opt/venv" ;;
        "$opt/versions/$(program_id)"*) is_sound "$root$in_use" || say "differs: $in_use (a file of the program was changed)" ;;
        *) say "differs: $opt/venv is $in_use, which is another version" ;;
    esac
    if is_pi; then
        wanted_config | cmp -s - "$root$config_txt" || say "differs: $config_txt"
        wanted_cmdline | cmp -s - "$root$cmdline_txt" || say "differs: $cmdline_txt"
    fi
    command -v systemctl >/dev/null 2>&1 || return 0
    for unit in $(enabled_units); do
        # shellcheck disable=SC2310
        if ! systemctl --quiet ${root:+--root="$root"} is-enabled "$unit" 2>/dev/null; then say "not enabled: $unit"; fi
    done
}

# ---- what must be so before anything is touched

need_system_packages() {
    missing=''
    "$python" -c 'import ensurepip, venv' 2>/dev/null || missing="$missing python3-venv"
    if [ -z "$root" ]; then
        command -v nft >/dev/null 2>&1 || [ -x /usr/sbin/nft ] || missing="$missing nftables"
        /sbin/ldconfig -p | grep -q 'libportaudio\.so\.2' || missing="$missing libportaudio2"
        if [ "$(uname -m)" = aarch64 ] && "$python" -c 'import sys; sys.exit(sys.version_info < (3, 13))' &&
            [ ! -e $packages/lgpio.py ]; then missing="$missing python3-lgpio"; fi
    fi
    [ -n "$missing" ] || return 0
    if [ -n "$wheels" ] || [ -n "$root" ]; then die "missing:$missing; install them first (apt-get install$missing)"; fi
    say "install: apt-get install$missing"
    export DEBIAN_FRONTEND=noninteractive
    apt-get -q -o DPkg::Lock::Timeout=300 update </dev/null
    # shellcheck disable=SC2086 # one word a package
    apt-get -q -y -o DPkg::Lock::Timeout=300 install --no-install-recommends $missing </dev/null
}

need_platform() {
    "$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null ||
        die "needs Python 3.11, 3.12 or 3.13 (Raspberry Pi OS 12 or 13, 64 bits)"
    if is_pi && [ -z "$root" ] && ! is_wifi_kept && ip -o route show default 2>/dev/null | grep -q ' dev wl' &&
        ! tr -d '\0' </proc/device-tree/model 2>/dev/null | grep -q 'Zero'; then
        die "this machine reaches its network by Wi-Fi, which would be switched off: use a cable, or --keep-wifi"
    fi
    if is_pi && [ "$(wc -l <"$root$cmdline_txt")" -gt 1 ]; then
        die "$cmdline_txt has more than one line, and the kernel reads only one; mend it first"
    fi
}

is_running() { [ -z "$root" ] && [ -d /run/systemd/system ] && systemctl --quiet is-active 'spreekkamer-guard.service' 'spreekkamer-record.service'; }

need_idle() {
    is_running || return 0
    "$opt/venv/bin/python" -IB -m edge.setup.idle --config "$etc/config.toml" || die "nothing was changed"
}

need_free_names() { # a mask over somebody's own unit would take it away
    expected | while read -r kind _ target source; do
        if [ "$kind" != link ] || [ "$(readlink "$root$target")" = "$source" ] || was_installed "$kind $target"; then continue; fi
        if [ -e "$root$target" ] || [ -L "$root$target" ]; then
            die "$target is there, and is not ours; move it away first (it would become a link to $source)"
        fi
    done
}

# ---- installing

unfinished='' # a program that is not in use yet

clean_up() {
    status=$?
    if [ -n "$unfinished" ]; then rm -rf "$unfinished"; fi
    if [ "$task" = install ]; then
        expected | while read -r kind _ target _; do
            if [ "$kind" = file ]; then rm -f "$root$target$new"; fi
        done
        rm -f "$root$installed$new" "$root$config_txt$new" "$root$cmdline_txt$new" "$root$opt/venv$new"
    fi
    exit "$status"
}

# What we have put there: all files, and those links, folders and words that were not there before us.
note_installed() {
    expected | while read -r _ _ target _; do missing_above "$target"; done | LC_ALL=C sort -u
    sed -n '/^made /p' "$root$installed" 2>/dev/null || true
    expected | while read -r kind _ target _; do
        if [ "$kind" != link ] || [ ! -L "$root$target" ] || was_installed "$kind $target"; then say "$kind $target"; fi
    done
    is_pi || return 0
    for word in $(words +); do if ! has_word "$word" || was_installed "added $word"; then say "added $word"; fi; done
    for word in $(words -); do if has_word "$word" || was_installed "removed $word"; then say "removed $word"; fi; done
}

missing_above() {
    above=$(dirname "$1")
    while [ ! -d "$root$above" ]; do
        say "made $above"
        above=$(dirname "$above")
    done
}

was_installed() { grep -Fqx "$1" "$root$installed" 2>/dev/null; }

install_files() {
    # First everything is written beside its place, where a full disk shows; then names are changed.
    mkdir -p "$root$opt"
    note_installed >"$root$installed$new"
    expected | while read -r kind mode target source; do
        if is_as_expected "$kind" "$mode" "$target" "$source"; then continue; fi
        mkdir -p "$(dirname "$root$target")"
        case $kind in
            folder)
                mkdir -p "$root$target"
                chmod "$mode" "$root$target"
                ;;
            file)
                cp "$here/$source" "$root$target$new"
                chmod "$mode" "$root$target$new"
                ;;
        esac
    done
    if is_pi; then
        wanted_config >"$root$config_txt$new"
        wanted_cmdline >"$root$cmdline_txt$new"
    fi
    : >"$root$unended"
    sync

    expected | while read -r kind mode target source; do
        case $kind in
            link) [ "$(readlink "$root$target")" = "$source" ] || ln -sfn "$source" "$root$target" ;;
            file) [ ! -e "$root$target$new" ] || mv -f "$root$target$new" "$root$target" ;;
        esac
    done
    for file in $config_txt $cmdline_txt; do
        if [ -e "$root$file$new" ]; then put_if_new "$root$file"; fi
    done
    if [ -f "$root$installed" ]; then remove_left_behind; fi
    mv -f "$root$installed$new" "$root$installed"
}

put_if_new() {
    if cmp -s "$1$new" "$1"; then rm -f "$1$new"; else mv -f "$1$new" "$1"; fi
}

remove_left_behind() { # what an older version installed and this one does not know
    grep -E '^(file|link) ' "$root$installed" | while read -r kind target; do
        if ! grep -Fqx "$kind $target" "$root$installed$new"; then rm -f "$root$target"; fi
    done
}

install() {
    need_platform
    need_system_packages
    need_free_names
    if [ -n "$keep_wifi" ] && is_pi; then
        mkdir -p "$root$etc"
        : >"$root$etc/keep-wifi"
    fi
    if [ -z "$(differences)" ]; then
        say "install: everything is as it should be"
        return
    fi
    need_idle
    trap clean_up EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    program=$opt/versions/$(program_id)
    if [ -e "$root$program" ] && ! is_sound "$root$program"; then program=$program.$(date +%s); fi
    if [ ! -e "$root$program" ]; then
        say "install: making $program (once; some minutes on a Pi)"
        mkdir -p "$root$opt/versions"
        build_program "$program"
    fi
    need_idle # the building took a while
    install_files
    ln -sfn "$program" "$root$opt/venv$new"
    mv -Tf "$root$opt/venv$new" "$root$opt/venv"
    unfinished=''
    activate
    # The running processes have ended by now, so nobody needs the older ones.
    find "$root$opt/versions" -mindepth 1 -maxdepth 1 ! -path "$root$program" -exec rm -rf {} +
    rm -f "$root$unended"
}

activate() {
    if command -v systemd-sysusers >/dev/null 2>&1; then systemd-sysusers ${root:+--root="$root"}; fi
    if command -v systemctl >/dev/null 2>&1; then
        # shellcheck disable=SC2046 # one word a unit
        systemctl --quiet ${root:+--root="$root"} enable $(enabled_units)
    fi
    if [ -n "$root" ] || [ ! -d /run/systemd/system ]; then
        say "install: done in ${root:-/}; it starts with the machine"
        return
    fi
    systemd-tmpfiles --create
    systemctl daemon-reload
    # A setting that this kernel does not know, or a line of somebody else's, must not leave the room without its units.
    sysctl --quiet --system || say "install: not every kernel setting was taken, see above"
    udevadm control --reload
    udevadm trigger --subsystem-match=gpio
    systemctl try-restart systemd-journald.service systemd-timesyncd.service
    if [ ! -e "$etc/config.toml" ]; then
        say "install: done. Next: sudo spreekkamer setup, then restart the machine"
        return
    fi
    systemctl restart spreekkamer.target
    say "install: done. Restart the machine when swap, the command line of the kernel or config.txt were changed"
}

# ---- taking away

uninstall() {
    [ -f "$root$installed" ] || die "nothing is installed in ${root:-/}"
    need_idle
    kept=$(where_clips_are)
    if command -v systemctl >/dev/null 2>&1; then
        # shellcheck disable=SC2046 # one word a unit
        systemctl --quiet ${root:+--root="$root"} disable $(our_units) 2>/dev/null || true # one may be gone already
        # shellcheck disable=SC2046
        if [ -z "$root" ] && [ -d /run/systemd/system ]; then systemctl stop $(our_units) 'spreekkamer-*'; fi
    fi
    take_out_of_firmware
    sed -En 's/^(file|link) //p' "$root$installed" | while read -r target; do
        rm -f "$root$target"
    done
    sed -n 's/^made //p' "$root$installed" | LC_ALL=C sort -r | while read -r folder; do
        rmdir --ignore-fail-on-non-empty "$root$folder" 2>/dev/null || true # gone already
    done
    rm -rf "$root$opt"
    if [ -z "$root" ] && [ -d /run/systemd/system ]; then systemctl daemon-reload; fi
    if [ -n "$delete" ]; then
        rm -rf "$root$etc" "$root$kept" "$root"/etc/credstore/spreekkamer.*
        say "install: taken away, with clips and configuration; what lay on a card may be found there until it is overwritten"
        return
    fi
    say "install: taken away. The configuration is still in $etc"
    clips=$(find "$root$kept/clips" -mindepth 1 -maxdepth 1 -type d 2>/dev/null | wc -l)
    if [ "$clips" -gt 0 ]; then
        say "install: $clips sealed clips are still in $kept/clips, and nothing deletes them at their hour any more: delete them by hand"
    fi
}

our_units() { sed -n 's,^file /etc/systemd/system/\(spreekkamer[^/]*\)$,\1,p' "$root$installed"; }

where_clips_are() {
    "$root$opt/venv/bin/python" -IB - "$root$etc/config.toml" 2>/dev/null <<'PYTHON' || say $store
import sys
from pathlib import Path
from edge.config import StoreConfig, load_store
print((load_store(Path(sys.argv[1]))[0] or StoreConfig()).paths.store)
PYTHON
}

take_out_of_firmware() {
    is_pi || return 0
    config_without_block >"$root$config_txt$new"
    put_if_new "$root$config_txt"
    line=" $(cat "$root$cmdline_txt") "
    # shellcheck disable=SC2013 # one word a line
    for word in $(sed -n 's/^added //p' "$root$installed"); do line=$(printf '%s' "$line" | sed "s/ $word / /"); done
    # shellcheck disable=SC2013
    for word in $(sed -n 's/^removed //p' "$root$installed"); do line=" $word$line"; done
    printf '%s\n' "$line" | tr -s ' ' | sed 's/^ //; s/ $//' >"$root$cmdline_txt$new"
    put_if_new "$root$cmdline_txt"
}

read_arguments "$@"
case $task in
    install) install ;;
    uninstall) uninstall ;;
    check)
        found=$(differences)
        if [ -n "$found" ]; then
            say "$found"
            exit 1
        fi
        say "everything is as it should be"
        ;;
esac
