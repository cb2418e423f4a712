# Puts an uploaded file in the place of another one, whose mode and owner stay and whose content is kept beside it.
#   sh -c ... install <target> <upload> <kept> <sha256 of the new content> <sha256 of the former>
set -eu
target=$1 upload=$2 kept=$3 new=$4 former=$5
sum() { sha256sum <"$1" | cut -d ' ' -f 1; }
flush() { sync -- "$@" 2>/dev/null || sync; }
says() { echo "$1"; rm -f -- "$upload" "$upload.ready"; exit 3; }

if [ -L "$target" ] || [ ! -f "$target" ]; then says "it is no regular file any more"; fi
if [ "$(sum "$target")" != "$new" ]; then
    [ "$(sum "$target")" = "$former" ] || says "it has changed since this was planned"
    [ "$(sum "$upload")" = "$new" ] || says "the upload is not whole"
    cp -p -- "$target" "$kept.part"
    mv -f -- "$kept.part" "$kept"
    # a copy has the mode and the owner already; only its content is exchanged
    cp -p -- "$target" "$upload.ready"
    mode=$(stat -c %a -- "$target")
    chmod u+w -- "$upload.ready"
    cat -- "$upload" >"$upload.ready"
    chmod "$mode" -- "$upload.ready"
    [ "$(stat -c %u:%g:%a -- "$upload.ready")" = "$(stat -c %u:%g:%a -- "$target")" ] ||
        says "this account cannot keep its mode and owner"
    flush "$kept" "$upload.ready"
    mv -f -- "$upload.ready" "$target"
    flush "$(dirname -- "$target")"
fi
# what callers left behind that were killed in the middle of an upload
rm -f -- "${kept%.before}".*.new "${kept%.before}".*.new.ready
