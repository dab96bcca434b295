/* SPDX-License-Identifier: MIT */
/*
 * What rewriting does to the code of the process, byte by byte, and that the report tells the truth
 * about it.
 */
#include "intercept.h"

#include <dlfcn.h>

#include "text.h"

static void require_rewriting(struct sta *sta)
{
    if (is_by_sud(sta))
        victim_skip("Syscall User Dispatch rewrites nothing");
}

/* After removal */

/* The code of a mapped file is as the file has it. */
static void check_with_file(const struct text_range *range)
{
    size_t size = range->end - range->start;
    int fd = range->path[0] == '/' ? open(range->path, O_RDONLY | O_CLOEXEC) : -1;
    void *file;

    if (fd < 0)
        return;
    file = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, range->offset);
    CHECK(file != MAP_FAILED);
    if (memcmp(file, (void *)range->start, size) != 0)
        victim_failed("%s is not as the file has it", range->path);
    munmap(file, size);
    close(fd);
}

VICTIM(no_byte_differs_after_removal)
{
    struct text *text = text_snapshot();
    struct sta *sta = new_registry();
    struct seen *all = count_calls(sta, STA_ALL_SYSCALLS);

    for (int i = 0; i < 10; i++) {
        install(sta);
        getppid();
        remove_transformer(sta);
        text_check(text);
    }
    CHECK(all->enters >= 10);
    CHECK(text->count >= 3); /* this program, libc, the vDSO */
    for (size_t i = 0; i < text->count; i++)
        check_with_file(&text->ranges[i]);
    sta_free(sta);
    text_check(text);
}

VICTIM(no_byte_differs_after_a_registry_is_freed_with_all_attached)
{
    struct text *text = text_snapshot();
    struct sta *sta = new_registry();

    install(sta);
    count_calls(sta, STA_ALL_SYSCALLS);
    getppid();
    sta_free(sta);
    text_check(text);
}

VICTIM(no_byte_differs_in_a_child_that_removes)
{
    struct text *text = text_snapshot();
    struct seen *all;
    struct sta *sta = installed_counting(STA_ALL_SYSCALLS, &all);
    pid_t pid = fork();

    if (pid == 0) {
        long before = all->enters;

        getppid();
        CHECK(all->enters > before);
        remove_transformer(sta);
        text_check(text);
        getppid();
        _exit(0);
    }
    CHECK_EQ(status_of(pid), 0);
    getppid();
    remove_transformer(sta);
    text_check(text);
}

/* While installed */

static void count_writable_code(const char *when)
{
    FILE *maps = fopen("/proc/self/maps", "re");
    struct text_line line;

    CHECK(maps != NULL);
    while (text_read_line(maps, &line))
        if (strchr(line.access, 'w') && strchr(line.access, 'x'))
            victim_failed("%s, %#lx-%#lx %s %s is writable and executable", when,
                          (unsigned long)line.start, (unsigned long)line.end, line.access,
                          line.path);
    fclose(maps);
}

VICTIM(no_mapping_is_writable_and_executable)
{
    struct sta *sta = new_registry();
    int id;

    count_writable_code("before");
    install(sta);
    count_writable_code("installed");
    id = attach(sta, STA_ALL_SYSCALLS, true, count_enter, shared_memory(sizeof(struct seen)));
    count_writable_code("attached");
    CHECK_EQ(sta_detach(sta, id), 0);
    count_writable_code("detached");
    remove_transformer(sta);
    count_writable_code("removed");
}

/* The first system call instruction of a short function of libc. */
static uintptr_t site_in(const char *name)
{
    const unsigned char *code = dlsym(RTLD_DEFAULT, name);

    CHECK(code != NULL);
    for (int i = 0; i < 32; i++)
        if (code[i] == 0x0f && code[i + 1] == 0x05)
            return (uintptr_t)code + (unsigned)i;
    victim_skip("this libc's getppid looks different");
}

static struct sta_transform_site site_at(struct sta *sta, uintptr_t address)
{
    struct sta_transform_site site;

    if (!text_find_site(sta, address, &site))
        victim_failed("the report has no site at %#lx", (unsigned long)address);
    return site;
}

/* How many bytes of the instruction and of what is just before it are not as they were. */
static int changed_near(const struct text *text, uintptr_t address)
{
    int changed = 0;

    for (uintptr_t at = address - 5; at < address + 2; at++)
        changed += *(volatile unsigned char *)at != text_byte(text, at);
    return changed;
}

VICTIM(a_site_is_rewritten_only_while_its_number_is_attached)
{
    struct text *text = text_snapshot();
    const uintptr_t address = site_in("getppid");
    struct sta *sta = new_registry();
    struct seen *seen = shared_memory(sizeof(*seen));

    install(sta);
    require_rewriting(sta);
    CHECK_EQ(site_at(sta, address).sys_nr, SYS_getppid);
    for (int i = 0; i < 10; i++) {
        const int nr = i % 2 ? SYS_getppid : STA_ALL_SYSCALLS;
        int other = attach(sta, SYS_getuid, true, count_enter, seen), enter, leave;

        CHECK(!site_at(sta, address).rewritten);
        CHECK_EQ(changed_near(text, address), 0);
        enter = attach(sta, nr, true, count_enter, seen);
        leave = attach(sta, nr, false, count_exit, seen);
        CHECK(site_at(sta, address).rewritten);
        CHECK(changed_near(text, address) > 0);
        CHECK_EQ(sta_detach(sta, enter), 0);
        CHECK(site_at(sta, address).rewritten);
        CHECK_EQ(sta_detach(sta, leave), 0);
        CHECK(!site_at(sta, address).rewritten);
        CHECK_EQ(changed_near(text, address), 0);
        CHECK_EQ(sta_detach(sta, other), 0);
    }
    remove_transformer(sta);
}

/* Calls that the library has to see even if nobody else wants to: those that map code, change
 * signals, or make threads and processes. None of these: */
static const int never_needed[] = {SYS_read,   SYS_write,      SYS_getppid, SYS_getuid,
                                   SYS_getpid, SYS_close,      SYS_openat,  SYS_lseek,
                                   SYS_futex,  SYS_newfstatat, SYS_socket,  SYS_nanosleep};

struct neighbours {
    struct sta *sta;
    const struct text *text;
    uintptr_t *rewritten; /* addresses of rewritten sites */
    size_t count;
};

static void check_nothing_needless(const struct sta_transform_site *site)
{
    for (size_t i = 0; i < COUNT_OF(never_needed); i++)
        if (site->sys_nr == never_needed[i])
            victim_failed("%s at %#lx is rewritten with nothing attached",
                          sta_syscall_name(site->sys_nr), (unsigned long)site->address);
}

/* A byte that changed belongs to a rewritten site, or to the padding that its jump goes through: a
 * short jump reaches 127 bytes, and from there another one. */
static void check_neighbour(uintptr_t address, void *data)
{
    const struct neighbours *neighbours = data;

    for (size_t i = 0; i < neighbours->count; i++) {
        intptr_t distance = (intptr_t)(address - neighbours->rewritten[i]);

        if (distance > -300 && distance < 300)
            return;
    }
    victim_failed("the byte at %#lx is %02x, was %02x, and no rewritten site is near it",
                  (unsigned long)address, *(unsigned char *)address,
                  (unsigned)text_byte(neighbours->text, address));
}

static void list_rewritten(struct neighbours *neighbours,
                           void (*check)(const struct sta_transform_site *))
{
    struct sta_transform_site site = {.size = sizeof(site)};
    struct sta_transform_mapping mapping = {.size = sizeof(mapping)};

    neighbours->count = 0;
    for (unsigned i = 0; sta_transform_mapping(neighbours->sta, i, &mapping) == 0; i++) {
        for (unsigned j = 0; sta_transform_site(neighbours->sta, i, j, &site) == 0; j++) {
            if (!site.rewritten)
                continue;
            check(&site);
            neighbours->rewritten[neighbours->count++] = site.address;
        }
    }
}

static void check_nothing(const struct sta_transform_site *site)
{
    (void)site;
}

VICTIM(only_what_is_needed_is_rewritten)
{
    struct neighbours neighbours = {.text = text_snapshot(),
                                    .rewritten = shared_memory(8192 * sizeof(uintptr_t))};
    size_t idle, busy;
    int id;

    neighbours.sta = new_registry();
    install(neighbours.sta);
    require_rewriting(neighbours.sta);
    list_rewritten(&neighbours, check_nothing_needless);
    idle = text_compare(neighbours.text, check_neighbour, &neighbours);
    CHECK_EQ(neighbours.count, report_of(neighbours.sta).rewritten);
    id = attach(neighbours.sta, STA_ALL_SYSCALLS, true, count_enter,
                shared_memory(sizeof(struct seen)));
    list_rewritten(&neighbours, check_nothing);
    busy = text_compare(neighbours.text, check_neighbour, &neighbours);
    CHECK(busy > idle);
    CHECK_EQ(sta_detach(neighbours.sta, id), 0);
    /* Padding may keep its jumps, to which nothing leads now. */
    text_compare(neighbours.text, check_neighbour, &neighbours);
    list_rewritten(&neighbours, check_nothing_needless);
    remove_transformer(neighbours.sta);
}

/* The report */

static unsigned sum(const unsigned *counts, unsigned count)
{
    unsigned total = 0;

    for (unsigned i = 0; i < count; i++)
        total += counts[i];
    return total;
}

/* Places with the bytes 0f 05 before installation. The library's own calls do not count. */
static unsigned count_in_text(const struct text *text, const struct sta_transform_mapping *mapping)
{
    unsigned count = 0;

    for (uintptr_t at = mapping->start; at + 1 < mapping->end; at++)
        if (at < (uintptr_t)__start_sta_gate || at >= (uintptr_t)__stop_sta_gate)
            count += text_byte(text, at) == 0x0f && text_byte(text, at + 1) == 0x05;
    return count;
}

static void check_sites(struct sta *sta, unsigned index,
                        const struct sta_transform_mapping *mapping, const struct text *text)
{
    unsigned methods[STA_SITE_METHOD_COUNT] = {0}, reasons[STA_REASON_COUNT] = {0};
    unsigned count = 0, rewritten = 0;
    struct sta_transform_site site = {.size = sizeof(site)};
    uintptr_t last = 0;

    for (; sta_transform_site(sta, index, count, &site) == 0; count++) {
        CHECK(site.address > last && site.address >= mapping->start && site.address < mapping->end);
        last = site.address;
        CHECK_EQ(text_byte(text, site.address), 0x0f);
        CHECK_EQ(text_byte(text, site.address + 1), 0x05);
        CHECK(site.method < STA_SITE_METHOD_COUNT && site.reason < STA_REASON_COUNT);
        CHECK(site.sys_nr >= -1);
        CHECK(!site.rewritten || site.method != STA_SITE_LEFT);
        if (site.method == STA_SITE_LEFT) {
            CHECK(site.reason >= STA_REASON_NO_CODE);
            CHECK_EQ(changed_near(text, site.address), 0);
        }
        methods[site.method]++;
        reasons[site.reason]++;
        rewritten += site.rewritten;
    }
    CHECK_EQ(count, mapping->sites);
    CHECK_EQ(rewritten, mapping->rewritten);
    CHECK_EQ(memcmp(methods, mapping->by_method, sizeof(methods)), 0);
    CHECK_EQ(memcmp(reasons, mapping->by_reason, sizeof(reasons)), 0);
    CHECK_EQ(sta_transform_site(sta, index, count, &site), -ENOENT);
}

static void check_report(struct sta *sta, const struct text *text)
{
    struct sta_transform_mapping mapping = {.size = sizeof(mapping)};
    struct sta_transform_report total = {.sites = 0}, report = report_of(sta);
    unsigned count = 0;

    for (; sta_transform_mapping(sta, count, &mapping) == 0; count++) {
        CHECK(mapping.start < mapping.end);
        CHECK(text_byte(text, mapping.start) >= 0);
        CHECK_EQ(sum(mapping.by_method, STA_SITE_METHOD_COUNT), mapping.sites);
        CHECK_EQ(sum(mapping.by_reason, STA_REASON_COUNT), mapping.sites);
        if (count_in_text(text, &mapping) != mapping.sites)
            victim_failed("%s %#lx-%#lx has %u sites by the report, and %u", mapping.path,
                          (unsigned long)mapping.start, (unsigned long)mapping.end, mapping.sites,
                          count_in_text(text, &mapping));
        check_sites(sta, count, &mapping, text);
        total.sites += mapping.sites;
        total.rewritten += mapping.rewritten;
        for (int i = 0; i < STA_SITE_METHOD_COUNT; i++)
            total.by_method[i] += mapping.by_method[i];
    }
    CHECK_EQ(report.mappings, count);
    CHECK_EQ(report.sites, total.sites);
    CHECK_EQ(report.rewritten, total.rewritten);
    CHECK_EQ(memcmp(report.by_method, total.by_method, sizeof(total.by_method)), 0);
    CHECK_EQ(sta_transform_mapping(sta, count, &mapping), -ENOENT);
}

VICTIM(the_report_is_true)
{
    struct text *text = text_snapshot();
    struct sta *sta = new_registry();
    struct sta_transform_site site = {.size = 1};
    struct sta_transform_mapping mapping = {.size = 1};
    int id;

    install(sta);
    require_rewriting(sta);
    CHECK_EQ(report_of(sta).method, STA_METHOD_REWRITE);
    CHECK(report_of(sta).mappings >= 3);
    check_report(sta, text);
    id = attach(sta, STA_ALL_SYSCALLS, false, count_exit, shared_memory(sizeof(struct seen)));
    check_report(sta, text);
    CHECK_EQ(sta_detach(sta, id), 0);
    check_report(sta, text);
    CHECK_EQ(sta_transform_mapping(sta, 0, &mapping), -EINVAL);
    CHECK_EQ(sta_transform_site(sta, 0, 0, &site), -EINVAL);
    CHECK_EQ(sta_transform_mapping(sta, 0, NULL), -EINVAL);
    CHECK_EQ(sta_transform_site(sta, 0, 0, NULL), -EINVAL);
    remove_transformer(sta);
    mapping.size = sizeof(mapping), site.size = sizeof(site);
    CHECK_EQ(sta_transform_mapping(sta, 0, &mapping), -ENOENT);
    CHECK_EQ(sta_transform_site(sta, 0, 0, &site), -ENOENT);
}

/* Attached to all, every site that can be rewritten is. */
VICTIM(attached_to_all_every_site_is_rewritten)
{
    struct sta *sta = new_registry();
    struct sta_transform_report report;

    count_calls(sta, STA_ALL_SYSCALLS);
    install(sta);
    require_rewriting(sta);
    report = report_of(sta);
    CHECK_EQ(report.rewritten, report.sites - report.by_method[STA_SITE_LEFT]);
    remove_transformer(sta);
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

/* In libc everything that is a call can be intercepted, and next to nothing by a trap. */
VICTIM(all_calls_of_libc_and_the_loader_are_interceptable)
{
    struct sta_transform_mapping mapping = {.size = sizeof(mapping)};
    struct sta *sta = new_registry();
    int found = 0;

    install(sta);
    require_rewriting(sta);
    for (unsigned i = 0; sta_transform_mapping(sta, i, &mapping) == 0; i++) {
        const char *name = base_name(mapping.path);

        if (strncmp(name, "libc.so", 7) != 0 && strncmp(name, "ld-", 3) != 0 &&
            strcmp(name, "[vdso]") != 0)
            continue;
        found++;
        if (mapping.by_method[STA_SITE_LEFT] != mapping.by_reason[STA_REASON_NO_CODE] ||
            mapping.by_method[STA_SITE_TRAP] > 4)
            victim_failed("%s: of %u sites %u are left alone and %u trap", name, mapping.sites,
                          mapping.by_method[STA_SITE_LEFT], mapping.by_method[STA_SITE_TRAP]);
    }
    CHECK(found >= 3);
    remove_transformer(sta);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_byte_differs_after_removal),
        cmocka_unit_test(no_byte_differs_after_a_registry_is_freed_with_all_attached),
        cmocka_unit_test(no_byte_differs_in_a_child_that_removes),
        cmocka_unit_test(no_mapping_is_writable_and_executable),
        cmocka_unit_test(a_site_is_rewritten_only_while_its_number_is_attached),
        cmocka_unit_test(only_what_is_needed_is_rewritten),
        cmocka_unit_test(the_report_is_true),
        cmocka_unit_test(attached_to_all_every_site_is_rewritten),
        cmocka_unit_test(all_calls_of_libc_and_the_loader_are_interceptable),
    };

    return run_interception_tests(argc, argv, tests);
}
