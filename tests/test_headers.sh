#!/usr/bin/env bash
# Each public header compiles by itself and twice over, as strict C11 and as C++.
# shellcheck source=tests/check.sh
source "$(dirname "${BASH_SOURCE[0]}")/check.sh"

include=$STA_SOURCE_DIR/include
flags=(-fsyntax-only -Wall -Wextra -Werror -pedantic -I"$include")

mapfile -t headers < <(cd "$include" && find sta.h sta -name '*.h' | sort)
[ ${#headers[@]} -gt 1 ] || fail "no headers in $include"

for header in "${headers[@]}"; do
    printf '#include <%s>\n' "$header" "$header" >"$work/use.c"
    echo 'int used;' >>"$work/use.c"
    cp "$work/use.c" "$work/use.cc"
    quietly "$CC" -std=c11 "${flags[@]}" "$work/use.c"
    if command -v g++ >/dev/null; then
        quietly g++ -std=c++11 "${flags[@]}" "$work/use.cc"
    fi
done

command -v g++ >/dev/null || echo "g++ is not installed: headers were compiled as C only"
