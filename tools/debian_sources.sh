# debian_sources.sh - for mmdebstrap: the releases that this machine has, from the servers and with the keys that its apt
# uses, in the array sources, and what else apt has to be told, such as a proxy, in options. To be sourced.
# shellcheck shell=bash
options=()
mapfile -t sources < <(apt-get indextargets --format '$(SOURCESENTRY)' 'Created-By: Packages' 'Origin: Debian' |
    sed 's/:[0-9]*$//' | sort -u)
if [[ ${#sources[@]} == 0 ]]; then
    echo "$0: apt knows no servers of Debian" >&2
    exit 1
fi
while read -r setting; do
    options+=("--aptopt=$setting")
done < <(apt-config dump --format '%f "%v";%n' Acquire::http Acquire::https | grep -v '""')
