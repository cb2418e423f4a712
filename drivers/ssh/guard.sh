# Runs one command on this host: alone, never for a caller that was overtaken, and once.
#   sh -c ... guard <fence folder> <fence or -> <run> <once|again|always> <command> <argument>...
# The first line of output says how it went: "portal locked", "portal stale <fence>", "portal damaged",
# "portal unknown" or "portal ended <status>"; the last of what the command said follows.
set -eu
mask=$(umask)
umask 077
trap : HUP PIPE
folder=$1 fence=$2 run=$3 mode=$4
shift 4
command -v flock >/dev/null || { echo "this host has no flock" >&2; exit 1; }
mkdir -p -- "$folder/runs"
exec 9>>"$folder/lock"
flock -w 10 9 || { echo "portal locked"; exit 0; }

seen=0
if [ -e "$folder/fence" ]; then seen=$(cat -- "$folder/fence"); fi
# more than 18 digits would be too many for the shell to compare
case $seen in '' | *[!0-9]* | ???????????????????*) echo "portal damaged"; exit 0 ;; esac
if [ "$fence" != - ]; then
    if [ "$fence" -lt "$seen" ]; then echo "portal stale $seen"; exit 0; fi
    if [ "$fence" -gt "$seen" ]; then
        printf '%s\n' "$fence" >"$folder/fence.new"
        sync -- "$folder/fence.new" 2>/dev/null || sync
        mv -f -- "$folder/fence.new" "$folder/fence"
    fi
fi

record=$folder/runs/$run
if [ "$mode" = always ] || [ ! -e "$record.ended" ]; then
    if [ "$mode" = once ] && [ -e "$record.begun" ]; then echo "portal unknown"; exit 0; fi
    : >"$record.begun"
    status=0
    # a program that stays behind must hold neither the lock nor the connection
    (umask "$mask"; exec "$@") >"$record.out" 2>&1 </dev/null 9>&- || status=$?
    printf '%s\n' "$status" >"$record.ended.new"
    mv -f -- "$record.ended.new" "$record.ended"
fi
printf 'portal ended %s\n' "$(cat -- "$record.ended")"
tail -c 4000 -- "$record.out"
find "$folder/runs" -type f -mtime +30 -exec rm -f -- {} +
