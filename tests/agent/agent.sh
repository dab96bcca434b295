# Sourced by the tests of the preloaded agent, after check.sh.
#
#   STA_AGENT         libsta-agent.so
#   STA_TEST_METHOD   the method of interception to test; unset: the one that the agent chooses
#
# shellcheck shell=bash
[ -z "$STA_SANITIZE" ] ||
    skip "a program that was not built for the $STA_SANITIZE sanitizer cannot load what was"
[ -f "$STA_AGENT" ] || fail "$STA_AGENT is not there"

# Whoever the tests become must be able to read it.
chmod 755 "$work"
agent=$work/libsta-agent.so
cp "$STA_AGENT" "$agent"
chmod 644 "$agent"
output=$work/output # what the agent writes

# traced VARIABLE=VALUE... COMMAND...: runs it under the agent, with `output` as it was before.
traced()
{
    env LD_PRELOAD="$agent" STA_AGENT_OUTPUT="$output" STA_AGENT_METHOD="${STA_TEST_METHOD:-}" "$@"
}

# counts_in FILE: the tables of all processes in it, added up: "name calls errors" for each call.
counts_in()
{
    awk '/^ +[0-9]+ +[0-9]+  / && $3 != "total" { calls[$3] += $1; errors[$3] += $2 }
         END { for (name in calls) print name, calls[name], errors[name] }' "$1" | sort
}
