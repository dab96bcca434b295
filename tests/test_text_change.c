/* SPDX-License-Identifier: MIT */
/*
 * Changing code while it runs: whoever executes it finds all of the old bytes or all of the new
 * ones, and nothing else changes.
 */
#define TEST_METHOD STA_METHOD_REWRITE
#include "intercept.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "idler.h"
#include "mappings.h"
#include "transform/text.h"

#define PAGE     4096
#define RX       (PROT_READ | PROT_EXEC)
#define ONE      0x01010101 /* each byte differs, so that no mixture is one of the two */
#define TWO      0x02020202
#define FUNCTION 6 /* mov $number, %eax; ret */

/* Three pages of a file, with a function anywhere in it. */
struct code {
    unsigned char *pages;
    struct sta__text text;
    char path[64];
    int fd;
};

static void write_function(unsigned char *out, int number)
{
    out[0] = 0xb8;
    memcpy(out + 1, &number, sizeof(number));
    out[5] = 0xc3;
}

static struct code *make_code(const size_t *offsets, size_t count)
{
    struct code *code = calloc(1, sizeof(*code));
    unsigned char content[3 * PAGE];
    struct stat file;

    memset(content, 0xcc, sizeof(content));
    for (size_t i = 0; i < count; i++)
        write_function(content + offsets[i], ONE);
    strcpy(code->path, "/tmp/test text.XXXXXX");
    code->fd = mkostemp(code->path, O_CLOEXEC);
    CHECK(code->fd >= 0);
    CHECK_EQ(write(code->fd, content, sizeof(content)), sizeof(content));
    CHECK_EQ(fstat(code->fd, &file), 0);
    code->pages = mmap(NULL, sizeof(content), RX, MAP_PRIVATE, code->fd, 0);
    if (code->pages == MAP_FAILED && errno == EPERM)
        victim_skip("/tmp is mounted noexec");
    CHECK(code->pages != MAP_FAILED);
    code->text = (struct sta__text){.start = (uintptr_t)code->pages,
                                    .end = (uintptr_t)code->pages + sizeof(content),
                                    .inode = file.st_ino,
                                    .path = code->path};
    return code;
}

static void free_code(struct code *code)
{
    CHECK_EQ(munmap(code->pages, 3 * PAGE), 0);
    CHECK_EQ(unlink(code->path), 0);
    close(code->fd);
    free(code);
}

static struct sta__change change_at(const struct code *code, size_t offset, int from, int to)
{
    struct sta__change change = {.at = (uintptr_t)code->pages + offset, .size = 5};
    unsigned char bytes[FUNCTION];

    write_function(bytes, from);
    memcpy(change.from, bytes, 5);
    write_function(bytes, to);
    memcpy(change.to, bytes, 5);
    return change;
}

static int try_change(const struct code *code, size_t offset, int from, int to)
{
    struct sta__change change = change_at(code, offset, from, to);

    return sta__text_change(&code->text, &change, 1);
}

static int call(const struct code *code, size_t offset)
{
    return ((int (*)(void))(uintptr_t)(code->pages + offset))();
}

/* Mappings */

struct pages_info {
    unsigned mappings;    /* that lie in the code */
    unsigned named;       /* of these, how many have the file's name */
    unsigned long own_kb; /* memory that is not the file's */
    bool is_rx;           /* all are r-xp */
};

static struct pages_info look_at_pages(const struct code *code)
{
    struct pages_info info = {.is_rx = true};
    FILE *smaps = fopen("/proc/self/smaps", "re");
    unsigned long start = 0, end = 0, kb;
    char line[512], access[8];
    bool inside = false;

    CHECK(smaps != NULL);
    while (fgets(line, sizeof(line), smaps)) {
        if (sscanf(line, "%lx-%lx %7s", &start, &end, access) == 3) {
            inside = start < code->text.end && end > code->text.start;
            info.mappings += inside;
            info.named += inside && strstr(line, code->path);
            info.is_rx &= !inside || strcmp(access, "r-xp") == 0;
        } else if (inside && sscanf(line, "Anonymous: %lu", &kb) == 1) {
            info.own_kb += kb;
        }
    }
    fclose(smaps);
    return info;
}

static unsigned count_other_mappings(const struct code *code)
{
    return count_mappings() - look_at_pages(code).mappings;
}

/* AddressSanitizer maps memory for its own purposes. */
static void check_mappings(const struct code *code, unsigned before)
{
    if (!UNDER_ASAN)
        CHECK_EQ(count_other_mappings(code), before);
}

/* As after a change that has been taken back: the file's own pages. The kernel may keep them in
 * three mappings, for reasons of its own (what is called anon_vma there). */
static void check_untouched(const struct code *code, bool is_clean)
{
    struct pages_info info = look_at_pages(code);
    unsigned char content[3 * PAGE];

    CHECK(info.is_rx);
    CHECK(info.mappings <= 3);
    CHECK_EQ(info.named, info.mappings);
    if (is_clean)
        CHECK_EQ(info.own_kb, 0);
    CHECK_EQ(pread(code->fd, content, sizeof(content), 0), sizeof(content));
    CHECK_EQ(memcmp(content, code->pages, sizeof(content)), 0);
}

/* The bytes */

static const size_t places[] = {0, 61, 128, PAGE - 3, PAGE + 62, 2 * PAGE - 1, 3 * PAGE - FUNCTION};

static void change_back_and_forth(struct code *code)
{
    struct sta__change there[COUNT_OF(places)], back[COUNT_OF(places)];

    for (size_t i = 0; i < COUNT_OF(places); i++) {
        CHECK_EQ(call(code, places[i]), ONE);
        CHECK_EQ(try_change(code, places[i], ONE, TWO), 0);
        CHECK_EQ(call(code, places[i]), TWO);
        CHECK_EQ(look_at_pages(code).named, look_at_pages(code).mappings);
        CHECK_EQ(try_change(code, places[i], TWO, ONE), 0);
        CHECK_EQ(call(code, places[i]), ONE);
        there[i] = change_at(code, places[i], ONE, TWO);
        back[i] = change_at(code, places[i], TWO, ONE);
    }
    CHECK_EQ(sta__text_change(&code->text, there, COUNT_OF(places)), 0);
    for (size_t i = 0; i < COUNT_OF(places); i++)
        CHECK_EQ(call(code, places[i]), TWO);
    CHECK(look_at_pages(code).is_rx);
    CHECK_EQ(sta__text_change(&code->text, back, COUNT_OF(places)), 0);
    CHECK_EQ(sta__text_change(&code->text, there, 0), 0);
}

VICTIM(code_is_changed_in_place_and_back)
{
    struct code *code = make_code(places, COUNT_OF(places));
    unsigned before = count_other_mappings(code);

    CHECK(sta__text_is_alone());
    change_back_and_forth(code);
    check_untouched(code, false);
    check_mappings(code, before);
    free_code(code);
}

VICTIM(code_is_changed_by_exchange_and_back)
{
    struct code *code = make_code(places, COUNT_OF(places));
    pthread_t idler = start_idler();
    unsigned before = count_other_mappings(code);

    CHECK(!sta__text_is_alone());
    change_back_and_forth(code);
    check_untouched(code, true);
    check_mappings(code, before);
    end_threads(&idler, 1);
    free_code(code);
}

static void try_mismatches(struct code *code)
{
    struct sta__change changes[2];

    for (size_t i = 0; i < COUNT_OF(places); i++) {
        CHECK_EQ(try_change(code, places[i], TWO, ONE), 0);
        CHECK_EQ(call(code, places[i]), ONE);
    }
    check_untouched(code, false);
    /* Its neighbour is changed all the same. */
    changes[0] = change_at(code, places[0], TWO, ONE);
    changes[1] = change_at(code, places[1], ONE, TWO);
    CHECK_EQ(sta__text_change(&code->text, changes, 2), 0);
    CHECK_EQ(call(code, places[0]), ONE);
    CHECK_EQ(call(code, places[1]), TWO);
    CHECK_EQ(try_change(code, places[1], TWO, ONE), 0);
    check_untouched(code, false);
}

VICTIM(what_is_not_as_expected_is_left_alone)
{
    struct code *code = make_code(places, COUNT_OF(places));
    pthread_t idler;

    try_mismatches(code);
    idler = start_idler();
    try_mismatches(code);
    end_threads(&idler, 1);
    free_code(code);
}

/* While it runs */

struct runner {
    const struct code *code;
    size_t offset;
    _Atomic long calls;
};

static void check_call(const struct code *code, size_t offset)
{
    int got = call(code, offset);

    if (got != ONE && got != TWO)
        victim_failed("the code at %zu returned %#x", offset, (unsigned)got);
}

static void *run_until_stopped(void *data)
{
    struct runner *runner = data;

    while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
        check_call(runner->code, runner->offset);
        atomic_fetch_add_explicit(&runner->calls, 1, memory_order_relaxed);
    }
    return NULL;
}

static void toggle(const struct code *code, size_t offset, int times)
{
    for (int i = 0; i < times; i++) {
        CHECK_EQ(try_change(code, offset, i % 2 ? TWO : ONE, i % 2 ? ONE : TWO), 0);
        CHECK_EQ(call(code, offset), i % 2 ? ONE : TWO);
    }
}

static void toggle_under_load(size_t offset)
{
    struct code *code = make_code(&offset, 1);
    struct runner runners[2];
    pthread_t threads[2];
    unsigned before;

    for (int i = 0; i < 2; i++) {
        runners[i] = (struct runner){code, offset, 0};
        CHECK_EQ(pthread_create(&threads[i], NULL, run_until_stopped, &runners[i]), 0);
    }
    for (int i = 0; i < 2; i++)
        while (atomic_load(&runners[i].calls) == 0)
            sched_yield();
    before = count_other_mappings(code);
    toggle(code, offset, 2000);
    check_mappings(code, before);
    end_threads(threads, 2);
    check_untouched(code, true);
    free_code(code);
}

VICTIM(threads_in_code_across_cache_lines_see_old_or_new)
{
    toggle_under_load(PAGE + 61);
}

VICTIM(threads_in_code_across_pages_see_old_or_new)
{
    toggle_under_load(2 * PAGE - 3);
}

/* A process that shares this memory is no thread of this one. */

static int run_as_process(void *data)
{
    return run_until_stopped(data) ? 1 : 0;
}

VICTIM(processes_that_share_memory_see_old_or_new)
{
    static char stack[65536] __attribute__((aligned(16)));
    const size_t offset = PAGE + 61;
    struct code *code = make_code(&offset, 1);
    struct runner runner = {code, offset, 0};
    int flags[] = {SIGCHLD, 0};

    for (size_t i = 0; i < COUNT_OF(flags); i++) {
        pid_t pid = clone(run_as_process, stack + sizeof(stack), CLONE_VM | flags[i], &runner);

        CHECK(pid > 0);
        atomic_store(&runner.calls, 0);
        while (atomic_load(&runner.calls) == 0)
            sched_yield();
        toggle(code, offset, 10000);
        atomic_store(&stop, true);
        CHECK_EQ(status_of(pid), 0);
        atomic_store(&stop, false);
    }
    free_code(code);
}

/* Forks */

struct toggler {
    const struct code *code;
    size_t offset;
};

static void *toggle_until_stopped(void *data)
{
    const struct toggler *toggler = data;

    while (!atomic_load(&stop))
        toggle(toggler->code, toggler->offset, 2);
    return NULL;
}

VICTIM(a_child_that_is_forked_at_any_moment_has_whole_code)
{
    const size_t offset = 2 * PAGE - 3;
    struct code *code = make_code(&offset, 1);
    struct toggler toggler = {code, offset};
    pthread_t thread;

    CHECK_EQ(pthread_create(&thread, NULL, toggle_until_stopped, &toggler), 0);
    for (int i = 0; i < 200; i++) {
        pid_t pid = fork();

        if (pid == 0) {
            check_call(code, offset);
            CHECK(look_at_pages(code).is_rx);
            _exit(0);
        }
        CHECK_EQ(status_of(pid), 0);
    }
    end_threads(&thread, 1);
    free_code(code);
}

/* Other kinds of mappings */

static uintptr_t vdso_start, vdso_end;

static bool find_vdso(void)
{
    FILE *maps = fopen("/proc/self/maps", "re");
    char line[512];

    CHECK(maps != NULL);
    while (fgets(line, sizeof(line), maps))
        if (strstr(line, "[vdso]"))
            CHECK_EQ(sscanf(line, "%lx-%lx", &vdso_start, &vdso_end), 2);
    fclose(maps);
    return vdso_start != 0;
}

VICTIM(the_vdso_is_changed_as_a_whole)
{
    struct sta__change change = {.size = 2, .to = {0x5a, 0xa5}}, back;
    struct sta__text text = {.path = "[vdso]", .is_special = true};
    struct timespec time;
    pthread_t idler;

    if (!find_vdso())
        victim_skip("there is no vDSO");
    text.start = vdso_start;
    text.end = vdso_end;
    change.at = vdso_end - 2;
    memcpy(change.from, (void *)change.at, 2);
    back = (struct sta__change){.at = change.at, .size = 2, .from = {0x5a, 0xa5}};
    memcpy(back.to, change.from, 2);
    idler = start_idler();
    for (int i = 0; i < 10; i++) {
        CHECK_EQ(sta__text_change(&text, &change, 1), 0);
        CHECK_EQ(memcmp((void *)change.at, change.to, 2), 0);
        CHECK_EQ(clock_gettime(CLOCK_MONOTONIC, &time), 0);
        CHECK_EQ(sta__text_change(&text, &back, 1), 0);
        CHECK_EQ(memcmp((void *)change.at, back.to, 2), 0);
        CHECK_EQ(clock_gettime(CLOCK_MONOTONIC, &time), 0);
    }
    end_threads(&idler, 1);
}

static void exchange_with_path(const char *path, uint64_t inode, uint64_t offset_in_file)
{
    struct code *code = make_code(places, COUNT_OF(places));
    pthread_t idler = start_idler();

    code->text.path = path;
    code->text.inode = inode ? inode : code->text.inode;
    code->text.offset = offset_in_file;
    for (size_t i = 0; i < COUNT_OF(places); i++) {
        CHECK_EQ(try_change(code, places[i], ONE, TWO), 0);
        CHECK_EQ(call(code, places[i]), TWO);
        CHECK_EQ(try_change(code, places[i], TWO, ONE), 0);
        CHECK_EQ(call(code, places[i]), ONE);
    }
    CHECK(look_at_pages(code).is_rx);
    end_threads(&idler, 1);
    free_code(code);
}

static uint64_t inode_of(const char *path)
{
    struct stat file;

    CHECK_EQ(stat(path, &file), 0);
    return file.st_ino;
}

/* Then the mapping has no file any more, but the right bytes. */
VICTIM(a_path_that_leads_elsewhere_will_do)
{
    char short_file[] = "/tmp/test_text.XXXXXX";
    int fd = mkstemp(short_file);

    CHECK(fd >= 0);
    CHECK_EQ(write(fd, "x", 1), 1);
    exchange_with_path("", 0, 0);
    exchange_with_path("/nonexistent", 0, 0);
    exchange_with_path("/dev/null", 0, 0);
    exchange_with_path("/dev/null", inode_of("/dev/null"), 0);
    exchange_with_path("/tmp", inode_of("/tmp"), 0);
    exchange_with_path("/proc/self/exe", inode_of("/proc/self/exe"), 0);
    /* Another file that happens to have this number, on another file system. */
    exchange_with_path(short_file, inode_of(short_file), 0);
    exchange_with_path(short_file, inode_of(short_file), 1 << 20);
    close(fd);
    CHECK_EQ(unlink(short_file), 0);
}

/* Where something is refused */

static void refuse(const int *numbers, size_t count)
{
    struct sock_filter filter[32] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
    };
    struct sock_fprog program = {1, filter};

    for (size_t i = 0; i < count; i++) {
        filter[program.len++] =
            (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)numbers[i], 0, 1);
        filter[program.len++] =
            (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM);
    }
    filter[program.len++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    CHECK_EQ(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0)
        victim_skip("this kernel has no seccomp filters");
}

static void change_and_back(const struct code *code)
{
    for (size_t i = 0; i < COUNT_OF(places); i++) {
        CHECK_EQ(try_change(code, places[i], ONE, TWO), 0);
        CHECK_EQ(call(code, places[i]), TWO);
        CHECK_EQ(try_change(code, places[i], TWO, ONE), 0);
        CHECK_EQ(call(code, places[i]), ONE);
    }
}

/* Alone and not alone. */
VICTIM(without_files_protection_is_changed_for_a_moment)
{
    static const struct rlimit none = {0, 0};
    static const int openat_only[] = {SYS_openat};
    struct code *code = make_code(places, COUNT_OF(places));

    for (int with_filter = 0; with_filter < 2; with_filter++) {
        for (int with_thread = 0; with_thread < 2; with_thread++) {
            pid_t pid = fork();

            if (pid == 0) {
                pthread_t idler = with_thread ? start_idler() : 0;

                if (with_filter)
                    refuse(openat_only, 1);
                else
                    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
                change_and_back(code);
                if (with_thread)
                    end_threads(&idler, 1);
                _exit(0);
            }
            CHECK_EQ(status_of(pid), 0);
        }
    }
    free_code(code);
}

static void try_without(const int *numbers, size_t count, bool with_thread)
{
    struct code *code = make_code(places, COUNT_OF(places));
    pthread_t idler = with_thread ? start_idler() : 0;
    unsigned before = count_other_mappings(code);
    int err;

    refuse(numbers, count);
    err = try_change(code, places[1], ONE, TWO);
    CHECK(err == 0 || err == -EPERM);
    CHECK_EQ(call(code, places[1]), err == 0 ? TWO : ONE);
    CHECK(err < 0 || try_change(code, places[1], TWO, ONE) == 0);
    CHECK_EQ(call(code, places[1]), ONE);
    check_mappings(code, before);
    CHECK(look_at_pages(code).is_rx);
    if (with_thread)
        end_threads(&idler, 1);
    free_code(code);
}

VICTIM(what_is_refused_changes_nothing)
{
    static const int refused[][3] = {{SYS_mmap, SYS_mmap, SYS_mmap},
                                     {SYS_mremap, SYS_mremap, SYS_mremap},
                                     {SYS_pwrite64, SYS_mprotect, SYS_pwrite64},
                                     {SYS_fstat, SYS_newfstatat, SYS_newfstatat},
                                     {SYS_membarrier, SYS_membarrier, SYS_membarrier}};

    for (size_t i = 0; i < COUNT_OF(refused); i++) {
        for (int with_thread = 0; with_thread < 2; with_thread++) {
            pid_t pid = fork();
            int status;

            if (pid == 0) {
                try_without(refused[i], 3, with_thread);
                _exit(0);
            }
            status = status_of(pid);
            if (status != 0)
                victim_failed("without %s: status %#x", sta_syscall_name(refused[i][0]),
                              (unsigned)status);
        }
    }
}

/* A process may have so many mappings and no more; an exchange needs some for a moment. */
VICTIM(without_room_for_mappings_nothing_is_lost)
{
    const size_t offset = 2 * PAGE - 3, size = 200000ul * PAGE;
    struct code *code = make_code(&offset, 1);
    pthread_t idler = start_idler();
    char *pages = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    size_t at = PAGE;
    int changed = 0, refused = 0;

    CHECK(pages != MAP_FAILED);
    while (at < size - PAGE && mprotect(pages + at, PAGE, PROT_READ) == 0)
        at += 2 * PAGE;
    if (at >= size - PAGE)
        victim_skip("there is no limit to mappings here");
    for (int i = 0; i < 24; i++) {
        int before = call(code, offset);
        int err = try_change(code, offset, before, before ^ ONE ^ TWO);

        CHECK(err == 0 || err == -ENOMEM);
        CHECK_EQ(call(code, offset), err ? before : (before ^ ONE ^ TWO));
        changed += err == 0;
        refused += err != 0;
        at -= 2 * PAGE;
        if (i % 2)
            CHECK_EQ(mprotect(pages + at, PAGE, PROT_NONE), 0);
    }
    CHECK(changed > 0 && refused > 0);
    munmap(pages, size);
    end_threads(&idler, 1);
    free_code(code);
}

/* sta__text_fill() */

VICTIM(memory_of_our_own_is_filled)
{
    static unsigned char bytes[3 * PAGE];
    unsigned char *pages = mmap(NULL, sizeof(bytes), RX, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    CHECK(pages != MAP_FAILED);
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (unsigned char)(i * 7 + i / 256);
    CHECK_EQ(sta__text_fill((uintptr_t)pages, bytes, sizeof(bytes)), 0);
    CHECK_EQ(memcmp(pages, bytes, sizeof(bytes)), 0);
    CHECK_EQ(sta__text_fill((uintptr_t)pages + PAGE - 3, bytes, 7), 0);
    CHECK_EQ(memcmp(pages + PAGE - 3, bytes, 7), 0);
    CHECK_EQ(munmap(pages, sizeof(bytes)), 0);
    CHECK(sta__text_fill((uintptr_t)pages, bytes, sizeof(bytes)) < 0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(code_is_changed_in_place_and_back),
        cmocka_unit_test(code_is_changed_by_exchange_and_back),
        cmocka_unit_test(what_is_not_as_expected_is_left_alone),
        cmocka_unit_test(threads_in_code_across_cache_lines_see_old_or_new),
        cmocka_unit_test(threads_in_code_across_pages_see_old_or_new),
        cmocka_unit_test(processes_that_share_memory_see_old_or_new),
        cmocka_unit_test(a_child_that_is_forked_at_any_moment_has_whole_code),
        cmocka_unit_test(the_vdso_is_changed_as_a_whole),
        cmocka_unit_test(a_path_that_leads_elsewhere_will_do),
        cmocka_unit_test(without_files_protection_is_changed_for_a_moment),
        cmocka_unit_test(what_is_refused_changes_nothing),
        cmocka_unit_test(without_room_for_mappings_nothing_is_lost),
        cmocka_unit_test(memory_of_our_own_is_filled),
    };

    return run_interception_tests(argc, argv, tests);
}
