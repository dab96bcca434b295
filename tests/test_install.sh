#!/usr/bin/env bash
# The installed package serves a project of its own, through CMake and through pkg-config, from
# wherever it was moved to.
# shellcheck source=tests/check.sh
source "$(dirname "${BASH_SOURCE[0]}")/check.sh"
need_plain_build
need make pkg-config readelf

prefix=$work/moved
quietly "$CMAKE" --install "$STA_BUILD_DIR" --prefix "$work/prefix"
mv "$work/prefix" "$prefix"

installs_headers_library_and_packages()
{
    local header file libdir
    libdir=$(dirname "$(find "$prefix" -name libsta.a)")
    while read -r header; do
        [ -f "$prefix/include/$header" ] || fail "include/$header was not installed"
    done < <(cd "$STA_SOURCE_DIR/include" && find . -name '*.h')
    for file in cmake/sta/sta{Config,ConfigVersion,Targets}.cmake pkgconfig/libsta.pc; do
        [ -f "$libdir/$file" ] || fail "$file was not installed beside libsta.a in $libdir"
    done
    [ -f "$libdir/libsta-agent.so" ] || fail "libsta-agent.so was not installed in $libdir"
    pc_dir=$libdir/pkgconfig
}

names_no_build_directory()
{
    none_of "installed files name the directory they were built in" < <(
        grep -rIl -e "$STA_BUILD_DIR" -e "$STA_SOURCE_DIR" -e "$work/prefix" "$prefix"
    )
}

expect_run()
{
    local program=$1 expected
    expected="libsta $(PKG_CONFIG_PATH=$pc_dir pkg-config --modversion libsta)
events: 2
enter:  getpid
exit:   getpid = our pid
plugin: 3 calls"
    "$program" >"$work/out" 2>&1 || fail "$program: status $?" "$(cat "$work/out")"
    [ "$(cat "$work/out")" = "$expected" ] ||
        fail "$program printed:" "$(cat "$work/out")" "and not:" "$expected"
}

find_package_builds_a_host()
{
    cp -r "$STA_SOURCE_DIR/examples/embed" "$work/by-cmake"
    quietly "$CMAKE" -S "$work/by-cmake" -B "$work/by-cmake/build" \
        -DCMAKE_C_COMPILER="$CC" -DCMAKE_C_FLAGS=-Werror -DCMAKE_PREFIX_PATH="$prefix"
    quietly "$CMAKE" --build "$work/by-cmake/build"
    expect_run "$work/by-cmake/build/embed"
}

pkg_config_builds_a_host()
{
    cp -r "$STA_SOURCE_DIR/examples/embed" "$work/by-make"
    quietly make -C "$work/by-make" CC="$CC" CFLAGS="-O2 -Wall -Wextra -Werror" \
        PKG_CONFIG_PATH="$pc_dir"
    expect_run "$work/by-make/embed"
}

# sta::sta is everything, and pkg-config's --static likewise.
everything_links_too()
{
    mkdir "$work/all"
    cat >"$work/all/main.c" <<'END'
#include <sta.h>
int main(void)
{
    return sta_version()[0] == STA_VERSION[0] ? 0 : 1;
}
END
    cat >"$work/all/CMakeLists.txt" <<'END'
cmake_minimum_required(VERSION 3.20)
project(all LANGUAGES C)
find_package(sta REQUIRED)
add_executable(main main.c)
target_link_libraries(main sta::sta)
END
    quietly "$CMAKE" -S "$work/all" -B "$work/all/build" -DCMAKE_C_COMPILER="$CC" \
        -DCMAKE_PREFIX_PATH="$prefix"
    quietly "$CMAKE" --build "$work/all/build"
    quietly "$work/all/build/main"
    # shellcheck disable=SC2046 # flags are words
    quietly "$CC" "$work/all/main.c" -o "$work/all/main" \
        $(PKG_CONFIG_PATH=$pc_dir pkg-config --cflags --libs --static libsta)
    quietly "$work/all/main"
}

plugin_exports_only_its_own()
{
    local plugin
    for plugin in "$work"/by-cmake/build/libplugin.so "$work"/by-make/libplugin.so; do
        exports_of "$plugin" >"$work/exports"
        grep -qx plugin_count_calls "$work/exports" || fail "$plugin exports nothing"
        none_of "$plugin exports" < <(grep -v '^plugin_' "$work/exports")
        readelf -d "$plugin" >"$work/dynamic"
        none_of "$plugin has text relocations" < <(grep TEXTREL "$work/dynamic")
    done
}

installs_headers_library_and_packages
names_no_build_directory
find_package_builds_a_host
pkg_config_builds_a_host
everything_links_too
plugin_exports_only_its_own
