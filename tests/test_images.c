/* SPDX-License-Identifier: MIT */
/*
 * Code that a process maps by hand, in whole or in part, and then unmaps, maps over, moves or
 * protects: what is still there goes on to be intercepted and is restored in the end, and what is
 * there instead is never read or written.
 */
#define TEST_METHOD STA_METHOD_REWRITE
#include "intercept.h"

#include <dlfcn.h>
#include <elf.h>
#include <sched.h>

#include "idler.h"
#include "libraries.h"
#include "text.h"

#define PAGE  4096
#define PAGES 4 /* that have functions */
#define RX    (PROT_READ | PROT_EXEC)
#define RW    (PROT_READ | PROT_WRITE)

/* See library_of_pages.c; the second one has its code in the first segment, as was usual once.
 * Opened before this becomes an ordinary user. */
static const char *const library_paths[] = {PAGES_PATHS};
static int library_fds[COUNT_OF(library_paths)];

/* A library's code segment, mapped by hand with nothing around it. */
struct library {
    unsigned char *code; /* the first page with functions */
    unsigned char bytes[PAGES * PAGE];
    off_t offset; /* of the first page in the file */
    int fd;
};

/* Where in the file the pages begin that begin with `mov $getppid, %eax; syscall; ret`. */
static off_t find_pages(int fd)
{
    static const unsigned char known[] = {0xb8, SYS_getppid, 0, 0, 0, 0x0f, 0x05, 0xc3};
    unsigned char bytes[sizeof(known)];

    for (off_t at = 0; pread(fd, bytes, sizeof(bytes), at) == sizeof(bytes); at += PAGE)
        if (memcmp(bytes, known, sizeof(known)) == 0)
            return at;
    victim_skip("this compiler makes other code of library_of_pages.c");
}

/* Free memory where the kernel puts nothing unless it is told to: what is unmapped here stays free.
 */
static unsigned char *reserve(void)
{
    static uintptr_t next = 0x200000000000;

    next += 1 << 20;
    return (unsigned char *)next;
}

static struct library find_library(void)
{
    struct library library = {.fd = library_fds[0]};

    library.offset = find_pages(library.fd);
    CHECK_EQ(pread(library.fd, library.bytes, sizeof(library.bytes), library.offset),
             sizeof(library.bytes));
    return library;
}

static unsigned char *map_pages(const struct library *library, unsigned char *where, size_t first,
                                size_t count)
{
    unsigned char *got = mmap(where, count * PAGE, RX, MAP_PRIVATE | MAP_FIXED, library->fd,
                              library->offset + (off_t)first * PAGE);

    if (got == MAP_FAILED)
        victim_failed("mmap: %s", strerror(errno));
    return got;
}

static struct library map_library(void)
{
    struct library library = find_library();

    library.code = map_pages(&library, reserve(), 0, PAGES);
    return library;
}

static long call_known(const unsigned char *page)
{
    return ((long (*)(void))(uintptr_t)page)();
}

static long call_any(const unsigned char *page, long sys_nr)
{
    return ((long (*)(long))(uintptr_t)(page + 64))(sys_nr);
}

static void check_page(const unsigned char *page, const struct seen *seen, int expected)
{
    const long parent = STA__RAW0(SYS_getppid);
    long before = seen->enters;

    CHECK_EQ(call_known(page), parent);
    CHECK_EQ(call_any(page, SYS_getppid), parent);
    CHECK_EQ(seen->enters - before, expected);
}

/* These pages are seen, or not. */
static void check_pages(const struct library *library, const struct seen *seen, const char *which,
                        int expected)
{
    for (; *which; which++)
        check_page(library->code + (*which - '0') * PAGE, seen, expected);
}

static void check_restored(const struct library *library, const char *which)
{
    for (; *which; which++) {
        size_t at = (size_t)(*which - '0') * PAGE;

        for (size_t i = at; i < at + PAGE; i++)
            if (library->code[i] != library->bytes[i])
                victim_failed("the byte at %zu of page %c is %02x, was %02x", i - at, *which,
                              library->code[i], library->bytes[i]);
    }
}

/* What is attached changes, so that all that is known is looked at. */
static void change_attachments(struct sta *sta)
{
    struct seen *seen = shared_memory(sizeof(*seen));

    for (int i = 0; i < 3; i++) {
        int id = attach(sta, i % 2 ? SYS_getppid : STA_ALL_SYSCALLS, true, count_enter, seen);

        CHECK_EQ(sta_detach(sta, id), 0);
    }
}

/* Each test runs alone, and again with another thread, since code is then changed in another way.
 */
static void alone_and_not(void (*body)(void))
{
    for (int with_thread = 0; with_thread < 2; with_thread++) {
        pid_t pid = fork();

        if (pid == 0) {
            pthread_t thread = with_thread ? start_idler() : 0;

            body();
            if (with_thread)
                end_threads(&thread, 1);
            _exit(0);
        }
        int status = status_of(pid);

        if (WIFEXITED(status) && WEXITSTATUS(status) == VICTIM_SKIPPED)
            _exit(VICTIM_SKIPPED);
        if (status != 0)
            victim_failed("%s: status %#x", with_thread ? "not alone" : "alone", (unsigned)status);
    }
}

#define TWICE(name)                 \
    static void name##_body(void);  \
    VICTIM(name)                    \
    {                               \
        alone_and_not(name##_body); \
    }                               \
    static void name##_body(void)

/* Mapped */

TWICE(code_that_is_mapped_by_hand_is_seen)
{
    struct seen *seen;
    struct sta *sta = installed_counting(SYS_getppid, &seen);
    struct library library = map_library();

    check_pages(&library, seen, "0123", 2);
    change_attachments(sta);
    check_pages(&library, seen, "0123", 2);
    remove_transformer(sta);
    check_restored(&library, "0123");
    check_pages(&library, seen, "0123", 0);
}

/* The rest of the segment is not there; or data is, that looks like it. */
TWICE(code_that_is_mapped_in_part_ends_there)
{
    struct seen *seen;
    struct sta *sta = installed_counting(SYS_getppid, &seen);
    struct library library = find_library();

    for (size_t first = 0; first < PAGES; first++) {
        unsigned char *room = reserve();

        library.code = map_pages(&library, room, first, 1);
        check_page(library.code, seen, 2);
        change_attachments(sta);
        CHECK_EQ(mmap(room + PAGE, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0),
                 room + PAGE);
        memcpy(room + PAGE, library.bytes, PAGE);
        change_attachments(sta);
        CHECK_EQ(memcmp(room + PAGE, library.bytes, PAGE), 0);
        munmap(room, PAGE);
        library.code = map_pages(&library, room, first, 1);
        CHECK_EQ(memcmp(room + PAGE, library.bytes, PAGE), 0);
        change_attachments(sta);
        check_page(library.code, seen, 2);
        CHECK_EQ(memcmp(room + PAGE, library.bytes, PAGE), 0);
    }
    remove_transformer(sta);
}

/* Unmapped */

static void put_data(const struct library *library, size_t page)
{
    unsigned char *at = library->code + page * PAGE;

    CHECK_EQ(mmap(at, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0), at);
    memcpy(at, library->bytes + page * PAGE, PAGE);
}

/* Data that looks just like the code is as it was written. */
static void check_data(const struct library *library, const char *which)
{
    check_restored(library, which);
}

TWICE(where_code_was_data_is_not_touched)
{
    struct seen *seen;
    struct sta *sta = installed_counting(SYS_getppid, &seen);
    struct library library = map_library();

    check_pages(&library, seen, "0123", 2);
    CHECK_EQ(munmap(library.code, PAGES * PAGE), 0);
    change_attachments(sta);
    for (size_t i = 0; i < PAGES; i++)
        put_data(&library, i);
    change_attachments(sta);
    check_data(&library, "0123");
    remove_transformer(sta);
    check_data(&library, "0123");
}

static void unmap_a_part(size_t first, size_t count, const char *rest)
{
    struct seen *seen;
    struct sta *sta = installed_counting(SYS_getppid, &seen);
    struct library library = map_library();

    check_pages(&library, seen, "0123", 2);
    CHECK_EQ(munmap(library.code + first * PAGE, count * PAGE - 100), 0); /* it is rounded up */
    check_pages(&library, seen, rest, 2);
    change_attachments(sta);
    check_pages(&library, seen, rest, 2);
    for (size_t i = first; i < first + count; i++)
        put_data(&library, i);
    change_attachments(sta);
    for (size_t i = first; i < first + count; i++)
        check_data(&library, (char[]){(char)('0' + i), '\0'});
    check_pages(&library, seen, rest, 2);
    remove_transformer(sta);
    check_restored(&library, "0123");
    check_pages(&library, seen, rest, 0);
    munmap(library.code, PAGES * PAGE);
    sta_free(sta);
}

TWICE(code_that_is_unmapped_in_part_stays_intercepted)
{
    unmap_a_part(3, 1, "012");
    unmap_a_part(0, 1, "123");
    unmap_a_part(1, 1, "023");
    unmap_a_part(1, 2, "03");
    unmap_a_part(0, 3, "3");
}

TWICE(code_that_is_mapped_over_in_part_stays_intercepted)
{
    struct seen *seen;
    struct sta *sta = installed_counting(SYS_getppid, &seen);
    struct library library = map_library();

    put_data(&library, 1);
    check_pages(&library, seen, "023", 2);
    change_attachments(sta);
    check_data(&library, "1");
    map_pages(&library, library.code + 2 * PAGE, 2, 1); /* the same again */
    check_pages(&library, seen, "023", 2);
    change_attachments(sta);
    check_pages(&library, seen, "023", 2);
    check_data(&library, "1");
    remove_transformer(sta);
    check_restored(&library, "0123");
}

/* A call that fails changes nothing. */
TWICE(code_that_could_not_be_unmapped_stays_intercepted)
{
    struct seen *seen;
    struct sta *sta = installed_counting(SYS_getppid, &seen);
    struct library library = map_library();

    CHECK_EQ(munmap(library.code + 1, PAGE), -1);
    CHECK_EQ(mmap(library.code, PAGES * PAGE, RW, MAP_PRIVATE | MAP_FIXED, -1, 0), MAP_FAILED);
    CHECK_EQ(mmap(library.code, PAGES * PAGE, RX, MAP_PRIVATE | MAP_FIXED, library.fd, 1),
             MAP_FAILED);
    CHECK_EQ(mremap(library.code, PAGE, PAGE, MREMAP_FIXED | MREMAP_MAYMOVE, library.code + 1),
             MAP_FAILED);
    CHECK_EQ(mremap(library.code + 1, PAGE, PAGE, MREMAP_MAYMOVE), MAP_FAILED);
    CHECK_EQ(mprotect(library.code + 1, PAGE, PROT_NONE), -1);
    CHECK_EQ(mprotect(library.code, PAGE, 0x100), -1);
    check_pages(&library, seen, "0123", 2);
    change_attachments(sta);
    check_pages(&library, seen, "0123", 2);
    remove_transformer(sta);
    check_restored(&library, "0123");
}

/* The old way to lay a file out: mapped as a whole for executing, and data over the end of it. */
TWICE(a_library_with_its_code_in_the_first_segment_is_seen_and_restored)
{
    struct seen *seen;
    struct sta *sta = installed_counting(SYS_getppid, &seen);
    char path[64];

    snprintf(path, sizeof(path), "/proc/self/fd/%d", library_fds[1]);
    for (int round = 0; round < 5; round++) {
        struct library library = find_library();
        void *handle = dlopen(path, RTLD_NOW), *symbol;

        CHECK(handle != NULL);
        symbol = dlsym(handle, "page_known_0");
        CHECK(symbol != NULL);
        check_page(symbol, seen, 2);
        change_attachments(sta);
        check_page(symbol, seen, 2);
        if (round == 4) {
            remove_transformer(sta);
            CHECK_EQ(memcmp(symbol, library.bytes, 8), 0); /* all pages begin in the same way */
            check_page(symbol, seen, 0);
        }
        CHECK_EQ(dlclose(handle), 0);
    }
}

/* Moved */

static void check_moved(const struct library *library, const unsigned char *at, size_t page)
{
    CHECK_EQ(call_known(at), STA__RAW0(SYS_getppid));
    CHECK_EQ(call_any(at, SYS_getuid), STA__RAW0(SYS_getuid));
    CHECK_EQ(memcmp(at, library->bytes + page * PAGE, 8), 0);
}

TWICE(code_that_is_moved_is_restored_before)
{
    struct seen *seen;
    struct sta *sta = installed_counting(SYS_getppid, &seen);
    struct library library = map_library();
    unsigned char *away = reserve();

    CHECK_EQ(mremap(library.code + PAGE, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, away), away);
    check_moved(&library, away, 1);
    check_pages(&library, seen, "023", 2);
    put_data(&library, 1);
    change_attachments(sta);
    check_moved(&library, away, 1);
    check_pages(&library, seen, "023", 2);
    check_data(&library, "1");
    remove_transformer(sta);
    check_restored(&library, "0123");
    check_moved(&library, away, 1);
}

TWICE(data_that_is_moved_over_code_is_not_touched)
{
    struct seen *seen;
    struct sta *sta = installed_counting(SYS_getppid, &seen);
    struct library library = map_library();
    unsigned char *data = mmap(NULL, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    CHECK(data != MAP_FAILED);
    memcpy(data, library.bytes + 2 * PAGE, PAGE);
    CHECK_EQ(mremap(data, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, library.code + 2 * PAGE),
             library.code + 2 * PAGE);
    change_attachments(sta);
    check_data(&library, "2");
    CHECK_EQ(mprotect(library.code + 2 * PAGE, PAGE, PROT_NONE), 0);
    change_attachments(sta);
    check_pages(&library, seen, "013", 2);
    remove_transformer(sta);
    CHECK_EQ(mprotect(library.code + 2 * PAGE, PAGE, PROT_READ), 0);
    check_restored(&library, "0123");
}

TWICE(code_that_shrinks_keeps_the_rest)
{
    struct seen *seen;
    struct sta *sta = installed_counting(SYS_getppid, &seen);
    struct library library = map_library();

    CHECK_EQ(mremap(library.code, PAGES * PAGE, 2 * PAGE, 0), library.code);
    check_pages(&library, seen, "01", 2);
    put_data(&library, 2);
    put_data(&library, 3);
    change_attachments(sta);
    check_pages(&library, seen, "01", 2);
    check_data(&library, "23");
    remove_transformer(sta);
    check_restored(&library, "0123");
}

/* Protected */

TWICE(code_that_cannot_be_read_is_left_alone_until_it_can)
{
    static const int protections[] = {PROT_NONE, PROT_READ, RW, PROT_EXEC, PROT_WRITE};
    struct seen *seen;
    struct sta *sta = installed_counting(SYS_getppid, &seen);
    struct library library = map_library();

    for (size_t i = 0; i < COUNT_OF(protections); i++) {
        unsigned char *page = library.code + PAGE;

        CHECK_EQ(mprotect(page, PAGE, protections[i]), 0);
        change_attachments(sta);
        report_of(sta);
        if (protections[i] & PROT_WRITE)
            *(volatile unsigned char *)(page + PAGE - 1) = 0xcc;
        check_pages(&library, seen, "023", 2);
        CHECK_EQ(mprotect(page, PAGE, RX), 0);
        check_pages(&library, seen, "0123", 2);
        change_attachments(sta);
        check_pages(&library, seen, "0123", 2);
    }
    library.bytes[2 * PAGE - 1] = 0xcc; /* written above */
    remove_transformer(sta);
    check_restored(&library, "0123");
    CHECK_EQ(mprotect(library.code, PAGE, PROT_NONE), 0);
}

TWICE(code_that_cannot_be_read_at_the_end_works_all_the_same)
{
    struct seen *seen;
    struct sta *sta = installed_counting(SYS_getppid, &seen);
    struct library library = map_library();

    CHECK_EQ(mprotect(library.code + PAGE, PAGE, PROT_NONE), 0);
    remove_transformer(sta);
    CHECK_EQ(mprotect(library.code + PAGE, PAGE, RX), 0);
    check_pages(&library, seen, "0123", 0);
}

/* Who made his code writable can write to it, whatever is attached meanwhile. */
TWICE(code_that_can_be_written_stays_so)
{
    struct seen *seen;
    struct sta *sta = installed_counting(SYS_getppid, &seen);
    struct library library = map_library();
    unsigned char *page = library.code + 2 * PAGE;

    CHECK_EQ(mprotect(page, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC), 0);
    change_attachments(sta);
    page[PAGE - 1] = 1;
    check_pages(&library, seen, "013", 2);
    CHECK_EQ(call_known(page), STA__RAW0(SYS_getppid));
    change_attachments(sta);
    page[PAGE - 1] = 2;
    CHECK_EQ(mprotect(page, PAGE, RX), 0);
    CHECK_EQ(page[PAGE - 1], 2);
    check_pages(&library, seen, "0123", 2);
    change_attachments(sta);
    remove_transformer(sta);
    library.bytes[3 * PAGE - 1] = 2;
    check_restored(&library, "0123");
}

/* The stack */

#define STACK_PAINTED 65536
#define STACK_ALLOWED 8192

/* How many bytes below this frame are used by an mmap of code. */
static __attribute__((noinline)) size_t stack_used_by_mmap(const struct library *library)
{
    volatile unsigned char *low =
        (volatile unsigned char *)__builtin_frame_address(0) - STACK_PAINTED - 512;
    size_t untouched = 0;

    for (size_t i = 0; i < STACK_PAINTED; i++)
        low[i] = 0xa5;
    map_pages(library, library->code, 0, PAGES);
    while (untouched < STACK_PAINTED && low[untouched] == 0xa5)
        untouched++;
    return STACK_PAINTED - untouched;
}

/* It happens on the application's, which may be a small one. */
VICTIM(mapping_code_takes_little_stack)
{
    struct seen *seen;
    struct sta *sta = installed_counting(SYS_getppid, &seen);
    struct library library = find_library();
    size_t used;

    library.code = reserve();
    used = stack_used_by_mmap(&library);
    check_pages(&library, seen, "0123", 2);
    if (!UNDER_ASAN && used > STACK_ALLOWED)
        victim_failed("%zu bytes of stack, more than %d", used, STACK_ALLOWED);
    CHECK(used > 512);
    remove_transformer(sta);
}

/* With installing and removing */

static void *load_until_stopped(void *path)
{
    while (!atomic_load(&stop)) {
        void *handle = dlopen(path, RTLD_NOW), *symbol;

        if (!handle)
            victim_failed("dlopen: %s", dlerror());
        symbol = dlsym(handle, "page_known_0");
        CHECK_EQ(call_known(symbol), STA__RAW0(SYS_getppid));
        CHECK_EQ(dlclose(handle), 0);
        sched_yield();
    }
    return NULL;
}

VICTIM(libraries_come_and_go_while_it_is_removed)
{
    struct sta *sta = new_registry();
    pthread_t thread;
    char path[64];

    count_calls(sta, STA_ALL_SYSCALLS);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", library_fds[1]);
    for (int i = 0; i < 20; i++) {
        install(sta);
        CHECK_EQ(pthread_create(&thread, NULL, load_until_stopped, path), 0);
        sleep_ms(i % 5);
        remove_transformer(sta);
        change_attachments(sta);
        sleep_ms(1);
        end_threads(&thread, 1);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(code_that_is_mapped_by_hand_is_seen),
        cmocka_unit_test(code_that_is_mapped_in_part_ends_there),
        cmocka_unit_test(where_code_was_data_is_not_touched),
        cmocka_unit_test(code_that_is_unmapped_in_part_stays_intercepted),
        cmocka_unit_test(code_that_is_mapped_over_in_part_stays_intercepted),
        cmocka_unit_test(code_that_could_not_be_unmapped_stays_intercepted),
        cmocka_unit_test(a_library_with_its_code_in_the_first_segment_is_seen_and_restored),
        cmocka_unit_test(code_that_is_moved_is_restored_before),
        cmocka_unit_test(data_that_is_moved_over_code_is_not_touched),
        cmocka_unit_test(code_that_shrinks_keeps_the_rest),
        cmocka_unit_test(code_that_cannot_be_read_is_left_alone_until_it_can),
        cmocka_unit_test(code_that_cannot_be_read_at_the_end_works_all_the_same),
        cmocka_unit_test(code_that_can_be_written_stays_so),
        cmocka_unit_test(mapping_code_takes_little_stack),
        cmocka_unit_test(libraries_come_and_go_while_it_is_removed),
    };

    if (!open_libraries(library_paths, library_fds, COUNT_OF(library_paths)))
        return 1;
    return run_interception_tests(argc, argv, tests);
}
