/* SPDX-License-Identifier: MIT */
/*
 * Code that arrives after installation: libraries that are loaded, unloaded and loaded again, and
 * code that the process writes itself.
 */
#include "intercept.h"

#include <dlfcn.h>
#include <sched.h>

#include "libraries.h"
#include "text.h"

/* Opened before this becomes an ordinary user, who may not be able to reach the build directory. */
static const char *const library_paths[] = {LIBRARY_PATHS};
static int library_fds[COUNT_OF(library_paths)];

struct library {
    void *handle;
    long (*known)(void);
    long (*call)(long sys_nr);
};

static const int known_numbers[] = {SYS_getppid, SYS_getuid};

static struct library load(int index)
{
    struct library library;
    char path[64];

    snprintf(path, sizeof(path), "/proc/self/fd/%d", library_fds[index]);
    library.handle = dlopen(path, RTLD_NOW);
    if (!library.handle)
        victim_failed("dlopen: %s", dlerror());
    *(void **)&library.known = dlsym(library.handle, "library_known");
    *(void **)&library.call = dlsym(library.handle, "library_call");
    CHECK(library.known && library.call);
    return library;
}

static void unload(const struct library *library)
{
    CHECK_EQ(dlclose(library->handle), 0);
}

static void check_library(const struct library *library, int index, const struct seen *seen)
{
    const long expected = index == 0 ? STA__RAW0(SYS_getppid) : STA__RAW0(SYS_getuid);
    long before = seen->enters;

    for (int i = 0; i < 10; i++) {
        CHECK_EQ(library->known(), expected);
        CHECK_EQ(library->call(known_numbers[index]), expected);
    }
    CHECK_EQ(seen->enters - before, 20);
}

/* Libraries */

VICTIM(a_library_that_is_loaded_is_seen)
{
    struct sta *sta = new_registry();
    struct seen *seen[2];

    for (int i = 0; i < 2; i++)
        seen[i] = count_calls(sta, known_numbers[i]);
    install(sta);
    for (int round = 0; round < 20; round++) {
        struct library first = load(round % 2), second;

        check_library(&first, round % 2, seen[round % 2]);
        second = load(!(round % 2)); /* at another address */
        check_library(&second, !(round % 2), seen[!(round % 2)]);
        check_library(&first, round % 2, seen[round % 2]);
        unload(&first);
        check_library(&second, !(round % 2), seen[!(round % 2)]);
        unload(&second);
    }
    remove_transformer(sta);
}

VICTIM(a_library_that_was_loaded_before_is_seen)
{
    struct library library = load(0);
    struct seen *seen;
    struct sta *sta = installed_counting(SYS_getppid, &seen);

    check_library(&library, 0, seen);
    unload(&library);
    library = load(0);
    check_library(&library, 0, seen);
    remove_transformer(sta);
    CHECK_EQ(library.known(), STA__RAW0(SYS_getppid));
    unload(&library);
}

VICTIM(attaching_reaches_libraries_that_were_loaded_meanwhile)
{
    struct sta *sta = new_registry();
    struct seen *seen = shared_memory(sizeof(*seen));
    struct library library = load(0);
    unsigned char original[32];
    int id;

    memcpy(original, (void *)(uintptr_t)library.known, sizeof(original));
    unload(&library);
    install(sta);
    library = load(0);
    CHECK_EQ(memcmp(original, (void *)(uintptr_t)library.known, 8), 0); /* mov, syscall, ret */
    for (int i = 0; i < 20; i++) {
        id = attach(sta, i % 2 ? SYS_getppid : STA_ALL_SYSCALLS, true, count_enter, seen);
        check_library(&library, 0, seen);
        CHECK_EQ(sta_detach(sta, id), 0);
        CHECK_EQ(library.known(), STA__RAW0(SYS_getppid));
    }
    remove_transformer(sta);
    CHECK_EQ(memcmp(original, (void *)(uintptr_t)library.known, sizeof(original)), 0);
    unload(&library);
}

/* Where a library was there is data now, and it stays as it is. */
VICTIM(what_was_a_library_is_not_touched_any_more)
{
    struct sta *sta = new_registry();
    struct seen *seen = shared_memory(sizeof(*seen));
    struct library library;
    unsigned char *data;
    uintptr_t start;
    int id;

    install(sta);
    id = attach(sta, STA_ALL_SYSCALLS, true, count_enter, seen);
    library = load(0);
    check_library(&library, 0, seen);
    start = (uintptr_t)library.known & ~(uintptr_t)4095;
    unload(&library);
    data = mmap((void *)start, 4096, PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    if (data == MAP_FAILED)
        victim_skip("something else is where the library was");
    CHECK_EQ((uintptr_t)data, start);
    memset(data, 0x5a, 4096);
    CHECK_EQ(sta_detach(sta, id), 0);
    id = attach(sta, STA_ALL_SYSCALLS, true, count_enter, seen);
    CHECK_EQ(sta_detach(sta, id), 0);
    remove_transformer(sta);
    for (int i = 0; i < 4096; i++)
        CHECK_EQ(data[i], 0x5a);
}

/* A library is mapped over, as by a loader of its own: not unmapped before. */
VICTIM(a_library_that_is_mapped_over_is_not_touched_any_more)
{
    struct sta *sta = new_registry();
    struct library library;
    unsigned char *data;
    int id;

    install(sta);
    id = attach(sta, STA_ALL_SYSCALLS, true, count_enter, shared_memory(sizeof(struct seen)));
    library = load(0);
    library.known();
    data = mmap((void *)((uintptr_t)library.known & ~(uintptr_t)4095), 4096, PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    CHECK(data != MAP_FAILED);
    memset(data, 0x5a, 4096);
    CHECK_EQ(sta_detach(sta, id), 0);
    remove_transformer(sta);
    for (int i = 0; i < 4096; i++)
        CHECK_EQ(data[i], 0x5a);
}

/* A library makes its own code writable for a moment, as for relocations in text. */
VICTIM(a_library_whose_code_is_made_writable_for_a_while)
{
    struct seen *seen;
    struct sta *sta = installed_counting(SYS_getppid, &seen);
    struct library library = load(0);
    char *page = (char *)((uintptr_t)library.known & ~(uintptr_t)4095);

    for (int i = 0; i < 5; i++) {
        CHECK_EQ(mprotect(page, 4096, PROT_READ | PROT_WRITE | PROT_EXEC), 0);
        check_library(&library, 0, seen);
        CHECK_EQ(mprotect(page, 4096, PROT_READ), 0);
        CHECK_EQ(mprotect(page, 4096, PROT_READ | PROT_EXEC), 0);
        check_library(&library, 0, seen);
    }
    remove_transformer(sta);
    CHECK_EQ(library.known(), STA__RAW0(SYS_getppid));
}

/* A second libc comes along with it. */
VICTIM(a_library_in_a_namespace_of_its_own)
{
    struct seen *seen;
    struct sta *sta;
    pid_t (*other_getppid)(void);
    void *libc;
    long before;

    if (UNDER_ASAN)
        victim_skip("AddressSanitizer knows one libc only");
    sta = installed_counting(SYS_getppid, &seen);
    libc = dlmopen(LM_ID_NEWLM, "libc.so.6", RTLD_NOW);
    if (!libc)
        victim_skip("no libc.so.6");
    *(void **)&other_getppid = dlsym(libc, "getppid");
    CHECK(other_getppid && other_getppid != getppid);
    before = seen->enters;
    CHECK_EQ(other_getppid(), STA__RAW0(SYS_getppid));
    CHECK_EQ(seen->enters, before + 1);
    CHECK_EQ(dlclose(libc), 0);
    remove_transformer(sta);
}

/* Loading under load */

static _Atomic bool stop;

static void *call_until_stopped(void *library)
{
    const long parent = STA__RAW0(SYS_getppid);

    while (!atomic_load(&stop)) {
        CHECK_EQ(((struct library *)library)->known(), parent);
        CHECK_EQ(getppid(), parent);
    }
    return NULL;
}

static void *toggle_until_stopped(void *sta)
{
    struct seen *seen = shared_memory(sizeof(*seen));

    for (int i = 0; !atomic_load(&stop); i++) {
        int id = attach(sta, i % 2 ? SYS_getuid : STA_ALL_SYSCALLS, true, count_enter, seen);

        sched_yield();
        CHECK_EQ(sta_detach(sta, id), 0);
    }
    return NULL;
}

VICTIM(libraries_come_and_go_while_threads_call_and_attach)
{
    struct sta *sta = new_registry();
    struct seen *getuids = count_calls(sta, SYS_getuid);
    struct library library = load(0);
    pthread_t threads[4];

    install(sta);
    for (size_t i = 0; i < COUNT_OF(threads); i++)
        CHECK_EQ(pthread_create(&threads[i], NULL,
                                i == 0 ? toggle_until_stopped : call_until_stopped,
                                i == 0 ? (void *)sta : (void *)&library),
                 0);
    for (int i = 0; i < (UNDER_ASAN ? 30 : 150); i++) {
        struct library other = load(1);

        check_library(&other, 1, getuids);
        unload(&other);
    }
    atomic_store(&stop, true);
    for (size_t i = 0; i < COUNT_OF(threads); i++)
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
    remove_transformer(sta);
}

/* Code in no file */

/* mov $number, %eax; syscall; ret */
static void write_code(unsigned char *code, int sys_nr)
{
    const unsigned char bytes[] = {
        0xb8, (unsigned char)sys_nr, (unsigned char)(sys_nr >> 8), 0, 0, 0x0f, 0x05, 0xc3};

    memcpy(code, bytes, sizeof(bytes));
}

static long run_code(const unsigned char *code)
{
    return ((long (*)(void))(uintptr_t)code)();
}

static unsigned char *map_pages(size_t count, int access)
{
    unsigned char *pages = mmap(NULL, count * 4096, access, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    CHECK(pages != MAP_FAILED);
    return pages;
}

#define RWX (PROT_READ | PROT_WRITE | PROT_EXEC)
#define RW  (PROT_READ | PROT_WRITE)
#define RX  (PROT_READ | PROT_EXEC)

static void run_and_check(struct sta *sta, const unsigned char *code, int sys_nr, int times)
{
    struct seen *seen = shared_memory(sizeof(*seen));
    int id = attach(sta, sys_nr, true, count_enter, seen);

    for (int i = 0; i < times; i++)
        CHECK_EQ(run_code(code), STA__RAW0(sys_nr));
    CHECK_EQ(seen->enters, times);
    CHECK_EQ(sta_detach(sta, id), 0);
    CHECK_EQ(run_code(code), STA__RAW0(sys_nr));
    CHECK_EQ(seen->enters, times);
}

VICTIM(code_on_a_writable_page_is_seen_by_exhaustive_interception)
{
    struct sta *sta = new_registry();
    unsigned char *early = map_pages(1, RWX), *late;

    write_code(early, SYS_getppid);
    install_exhaustive(sta);
    late = map_pages(1, RWX);
    write_code(late, SYS_getuid);
    for (int i = 0; i < 5; i++) {
        run_and_check(sta, early, SYS_getppid, 20);
        run_and_check(sta, late, SYS_getuid, 20);
    }
    remove_transformer(sta);
    CHECK_EQ(run_code(early), STA__RAW0(SYS_getppid));
    CHECK_EQ(run_code(late), STA__RAW0(SYS_getuid));
}

VICTIM(code_that_is_made_executable_is_seen_by_exhaustive_interception)
{
    struct sta *sta = new_registry();
    unsigned char *code;

    install_exhaustive(sta);
    code = map_pages(1, RW);
    for (int i = 0; i < 5; i++) {
        write_code(code + 64 * i, i % 2 ? SYS_getuid : SYS_getppid);
        CHECK_EQ(mprotect(code, 4096, RX), 0);
        for (int j = 0; j <= i; j++)
            run_and_check(sta, code + 64 * j, j % 2 ? SYS_getuid : SYS_getppid, 20);
        CHECK_EQ(mprotect(code, 4096, RW), 0);
    }
    CHECK_EQ(mprotect(code, 4096, RX), 0);
    remove_transformer(sta);
    CHECK_EQ(run_code(code), STA__RAW0(SYS_getppid));
}

/* The process writes its code anew, without telling anybody. */
VICTIM(code_that_is_overwritten_does_what_it_says)
{
    struct sta *sta = new_registry();
    unsigned char *code = map_pages(1, RWX);
    struct seen *getppids = count_calls(sta, SYS_getppid), *getuids = count_calls(sta, SYS_getuid);

    install_exhaustive(sta);
    for (int i = 1; i <= 20; i++) {
        write_code(code, SYS_getppid);
        for (int j = 0; j < 10; j++)
            CHECK_EQ(run_code(code), STA__RAW0(SYS_getppid));
        CHECK_EQ(getppids->enters, 10 * i);
        write_code(code, SYS_getuid);
        for (int j = 0; j < 10; j++)
            CHECK_EQ(run_code(code), STA__RAW0(SYS_getuid));
        CHECK_EQ(getuids->enters, 10 * i);
    }
    write_code(code, SYS_getppid);
    CHECK_EQ(run_code(code), STA__RAW0(SYS_getppid));
    write_code(code, SYS_getpid); /* now what is there is not what was intercepted */
    remove_transformer(sta);
    CHECK_EQ(run_code(code), getpid());
}

/* Only code that nobody can write to as it is: after the first trap. Who made it finds what he
 * wrote. */
VICTIM(code_that_cannot_be_written_is_rewritten_after_it_trapped)
{
    struct sta *sta = new_registry();
    struct seen *getppids = count_calls(sta, SYS_getppid);
    unsigned char *code = map_pages(1, RW), written[4096];
    bool rewrites;

    install_exhaustive(sta);
    rewrites = !is_by_sud(sta);
    for (int i = 1; i <= 10; i++) {
        write_code(code + 64 * i, SYS_getppid);
        memcpy(written, code, sizeof(written));
        CHECK_EQ(mprotect(code, 4096, RX), 0);
        CHECK_EQ(memcmp(code, written, sizeof(written)), 0);
        for (int j = 0; j < 5; j++)
            CHECK_EQ(run_code(code + 64 * i), STA__RAW0(SYS_getppid));
        CHECK_EQ(getppids->enters, 5 * i);
        CHECK_EQ(code[64 * i] == 0xe9, rewrites);
        CHECK_EQ(mprotect(code, 4096, i % 2 ? RW : RWX), 0);
        CHECK_EQ(memcmp(code, written, sizeof(written)), 0);
    }
    CHECK_EQ(mprotect(code, 4096, RX), 0);
    CHECK_EQ(run_code(code + 64), STA__RAW0(SYS_getppid));
    remove_transformer(sta);
    CHECK_EQ(memcmp(code, written, sizeof(written)), 0);
}

VICTIM(code_that_can_be_written_is_never_rewritten)
{
    struct sta *sta = new_registry();
    struct seen *getppids = count_calls(sta, SYS_getppid);
    unsigned char *code = map_pages(1, RWX), written[4096];

    write_code(code, SYS_getppid);
    memcpy(written, code, sizeof(written));
    install_exhaustive(sta);
    for (int i = 1; i <= 20; i++) {
        CHECK_EQ(run_code(code), STA__RAW0(SYS_getppid));
        CHECK_EQ(getppids->enters, i);
        CHECK_EQ(memcmp(code, written, sizeof(written)), 0);
    }
    remove_transformer(sta);
}

/* As a JIT does that frees a page and gets it again. */
VICTIM(code_in_memory_that_is_used_again_does_what_it_says)
{
    struct sta *sta = new_registry();
    struct seen *getppids = count_calls(sta, SYS_getppid), *getuids = count_calls(sta, SYS_getuid);
    unsigned char *code = map_pages(1, RW);

    install_exhaustive(sta);
    for (int i = 0; i < 20; i++) {
        const int sys_nr = i % 2 ? SYS_getuid : SYS_getppid;

        write_code(code, sys_nr);
        CHECK_EQ(mprotect(code, 4096, RX), 0);
        for (int j = 0; j < 10; j++)
            CHECK_EQ(run_code(code), STA__RAW0(sys_nr));
        CHECK_EQ(getppids->enters, 10 * (i / 2 + 1));
        CHECK_EQ(getuids->enters, 10 * ((i + 1) / 2));
        if (i % 3 == 0)
            CHECK_EQ(munmap(code, 4096), 0);
        CHECK_EQ(mmap(code, 4096, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0), code);
    }
    remove_transformer(sta);
}

VICTIM(code_that_is_unmapped_and_replaced_by_data)
{
    struct sta *sta = new_registry();
    unsigned char *code = map_pages(1, RWX), *data;

    count_calls(sta, STA_ALL_SYSCALLS);
    install_exhaustive(sta);
    write_code(code, SYS_getppid);
    for (int i = 0; i < 10; i++)
        CHECK_EQ(run_code(code), STA__RAW0(SYS_getppid));
    CHECK_EQ(munmap(code, 4096), 0);
    data = mmap(code, 4096, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    CHECK(data == code);
    write_code(data, SYS_getuid);
    remove_transformer(sta);
    CHECK_EQ(data[0], 0xb8);
    CHECK_EQ(data[1], SYS_getuid);
    CHECK_EQ(data[5], 0x0f);
    CHECK_EQ(data[6], 0x05);
}

/* One piece of memory at two addresses: written at one, executed at the other. */
VICTIM(code_that_is_written_at_another_address)
{
    struct sta *sta = new_registry();
    int fd = memfd_create("code", 0);
    unsigned char *writable, *executable;

    CHECK(fd >= 0);
    CHECK_EQ(ftruncate(fd, 4096), 0);
    install_exhaustive(sta);
    writable = mmap(NULL, 4096, RW, MAP_SHARED, fd, 0);
    executable = mmap(NULL, 4096, RX, MAP_SHARED, fd, 0);
    CHECK(writable != MAP_FAILED && executable != MAP_FAILED);
    for (int i = 0; i < 10; i++) {
        write_code(writable, i % 2 ? SYS_getuid : SYS_getppid);
        run_and_check(sta, executable, i % 2 ? SYS_getuid : SYS_getppid, 10);
    }
    remove_transformer(sta);
    CHECK_EQ(writable[0], 0xb8);
    CHECK_EQ(run_code(executable), STA__RAW0(SYS_getuid));
}

VICTIM(code_in_no_file_works_all_the_same)
{
    struct sta *sta = new_registry();
    unsigned char *code = map_pages(1, RWX);

    count_calls(sta, STA_ALL_SYSCALLS);
    install(sta);
    for (int i = 0; i < 20; i++) {
        write_code(code, i % 2 ? SYS_getuid : SYS_getppid);
        CHECK_EQ(run_code(code), STA__RAW0(i % 2 ? SYS_getuid : SYS_getppid));
    }
    remove_transformer(sta);
    CHECK_EQ(run_code(code), STA__RAW0(SYS_getuid));
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_library_that_is_loaded_is_seen),
        cmocka_unit_test(a_library_that_was_loaded_before_is_seen),
        cmocka_unit_test(attaching_reaches_libraries_that_were_loaded_meanwhile),
        cmocka_unit_test(what_was_a_library_is_not_touched_any_more),
        cmocka_unit_test(a_library_that_is_mapped_over_is_not_touched_any_more),
        cmocka_unit_test(a_library_whose_code_is_made_writable_for_a_while),
        cmocka_unit_test(a_library_in_a_namespace_of_its_own),
        cmocka_unit_test(libraries_come_and_go_while_threads_call_and_attach),
        cmocka_unit_test(code_on_a_writable_page_is_seen_by_exhaustive_interception),
        cmocka_unit_test(code_that_is_made_executable_is_seen_by_exhaustive_interception),
        cmocka_unit_test(code_that_is_overwritten_does_what_it_says),
        cmocka_unit_test(code_that_cannot_be_written_is_rewritten_after_it_trapped),
        cmocka_unit_test(code_that_can_be_written_is_never_rewritten),
        cmocka_unit_test(code_in_memory_that_is_used_again_does_what_it_says),
        cmocka_unit_test(code_that_is_unmapped_and_replaced_by_data),
        cmocka_unit_test(code_that_is_written_at_another_address),
        cmocka_unit_test(code_in_no_file_works_all_the_same),
    };

    if (!open_libraries(library_paths, library_fds, COUNT_OF(library_paths)))
        return 1;
    return run_interception_tests(argc, argv, tests);
}
