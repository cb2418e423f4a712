# Brings back the content that install.sh has kept; does nothing when there is nothing to take back.
#   sh -c ... restore <target> <kept> <sha256 of the new content> <sha256 of the former>
set -eu
target=$1 kept=$2 new=$3 former=$4
now=$(sha256sum <"$target" | cut -d ' ' -f 1)
rm -f -- "${kept%.before}".*.new "${kept%.before}".*.new.ready
if [ "$now" = "$former" ]; then
    rm -f -- "$kept"
elif [ ! -e "$kept" ]; then
    [ "$now" != "$new" ] || { echo "the former content is gone"; exit 3; }
elif [ "$now" = "$new" ]; then
    mv -f -- "$kept" "$target"
    sync -- "$(dirname -- "$target")" 2>/dev/null || sync
else
    echo "it has changed since; its former content is in $kept"
    exit 3
fi
