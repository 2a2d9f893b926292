#!/bin/bash
# The long run of the faults: each trial of tests/it/faults by itself, one after the other, with as many faults as asked for.
#
#   tests/faults.sh [FAULTS=200] [NAME…]          FAULTS of each kind; only trials whose name holds one of the NAMEs
#
# The tests of every day run the same trials with a few faults each. Wants PostgreSQL's server and Debian's postfix, as the
# tests do. Its figures and the seed of each trial go to standard output: HOMING_FAULT_SEED repeats one. Half an hour for 200
# on two cores. Exit 1 when something was lost or doubled.
set -u
cd "$(dirname "$0")/.."
faults=${1:-200}
shift
built=$(cargo test --locked --test it --no-run --message-format=json | sed -n 's/.*"executable":"\([^"]*\/it-[^"]*\)".*/\1/p' | tail -n 1)
[ -x "$built" ] || exit 1
export HOMING_FAULT_KILLS=$faults HOMING_TEST_REQUIRE=all RUST_BACKTRACE=0
failed=()
# Those with in-process faults alone take no number, and run with all tests.
for trial in $("$built" --list faults:: | sed -n 's/: test$//p' | grep -v '::post::\|::siege::'); do
    wanted=$([ $# = 0 ] && echo yes)
    for name in "$@"; do [[ $trial != *"$name"* ]] || wanted=yes; done
    [ -n "$wanted" ] || continue
    begun=$SECONDS said=$(mktemp)
    if "$built" --exact "$trial" --nocapture --test-threads 1 >"$said" 2>&1; then
        sed -n 's/^test [^ ]* \.\.\. \(.*(seed\)/\1/; /(seed [0-9]*)/,+3p' "$said"
    else
        failed+=("$trial")
        cat "$said"
    fi
    echo "  $trial: $((SECONDS - begun)) s"
    rm -f "$said"
done
[ ${#failed[@]} = 0 ] || { echo "FAILED: ${failed[*]}"; exit 1; }
