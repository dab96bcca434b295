#!/usr/bin/env bash
# What the archive brings into a host's name space and link: names with our prefix, and libc.
# shellcheck source=tests/check.sh
source "$(dirname "${BASH_SOURCE[0]}")/check.sh"
need_plain_build
need nm readelf


global_symbols_have_our_prefix()
{
    local visibility
    for visibility in DEFAULT HIDDEN; do
        symbols_of "$STA_ARCHIVE" "$visibility" >"$work/symbols"
        [ -s "$work/symbols" ] || fail "readelf shows no $visibility symbol in $STA_ARCHIVE"
        none_of "$visibility symbols without the prefix sta_" < <(grep -v '^sta_' "$work/symbols")
    done
}

# Only what a public header declares is public: sta__ names are the library's own.
internal_symbols_are_hidden()
{
    none_of "default-visibility symbols that are internal by their name" < <(
        symbols_of "$STA_ARCHIVE" DEFAULT | grep '^sta__'
    )
}

shared_object_exports_our_prefix_only()
{
    echo 'int host_function(void) { return 0; }' >"$work/host.c"
    quietly "$CC" -fPIC -shared -Wl,-z,defs -o "$work/libhost.so" "$work/host.c" \
        -Wl,--whole-archive "$STA_ARCHIVE" -Wl,--no-whole-archive -lbpf
    exports_of "$work/libhost.so" >"$work/exports"
    grep -qx sta_version "$work/exports" || fail "the shared object exports no sta_version"
    none_of "exports without the prefix sta_" < <(
        grep -vE '^(sta_[a-z]|host_function$)' "$work/exports"
    )
    readelf -d "$work/libhost.so" >"$work/dynamic"
    none_of "the shared object has text relocations" < <(grep TEXTREL "$work/dynamic")
}

# Uses each part of the core, so that the link draws in all of it.
write_core_program()
{
    cat >"$1" <<'END'
#include <sta/attach.h>
#include <sta/context.h>
#include <sta/syscalls.h>

static int override(void *ctx, size_t ctx_size, uint64_t *ret, void *user_data)
{
    (void)ctx, (void)ctx_size, (void)ret, (void)user_data;
    return sta_current_args() ? sta_override_return(7) : -1;
}

int main(void)
{
    struct sta_tracepoint tracepoint;
    struct sta_target target;
    struct sta *sta;
    sta_syscall_fn slot = NULL;
    int64_t result;
    int id;

    if (sta_new(&sta, NULL) < 0)
        return 2;
    if (sta_target_parse(&target, "sys_enter_getpid") < 0)
        return 3;
    if (sta_tracepoint_by_name("sys_enter_getpid", &tracepoint) < 0)
        return 4;
    id = sta_attach(sta, &target, override, NULL);
    sta_set_global(sta);
    if (sta_setup_syscall_hooker(&slot) < 0)
        return 5;
    result = slot(sta_syscall_number("getpid"), 0, 0, 0, 0, 0, 0);
    if (sta_detach(sta, id) < 0)
        return 6;
    sta_set_global(NULL);
    sta_free(sta);
    return result == 7 ? 0 : 1;
}
END
}

core_needs_libc_only()
{
    write_core_program "$work/core.c"
    quietly "$CC" -Wall -Wextra -Werror -I"$STA_SOURCE_DIR/include" -o "$work/core" "$work/core.c" \
        "$STA_ARCHIVE"
    quietly "$work/core"

    nm "$work/core" | sed 's/.* //; s/@.*//' >"$work/names"
    grep -qx sta_dispatch "$work/names" || fail "nm shows no sta_dispatch in a program that uses it"
    none_of "symbols of libbpf, libelf or zlib" < <(
        grep -E '^_*(bpf|btf|libbpf|perf_buffer|ring_buffer|elf|gelf|elf32|elf64|z?lib|inflate|deflate|compress|uncompress|crc32|adler32|gz)(_|[A-Z0-9]|init|end|$)' \
            "$work/names"
    )
    readelf -d "$work/core" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' >"$work/needed"
    [ -s "$work/needed" ] || fail "readelf shows no NEEDED entry"
    none_of "needs more than libc" < <(grep -v '^libc\.' "$work/needed")
}

global_symbols_have_our_prefix
internal_symbols_are_hidden
shared_object_exports_our_prefix_only
core_needs_libc_only
