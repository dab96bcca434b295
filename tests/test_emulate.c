/* SPDX-License-Identifier: MIT */
/* libbpf, as it is used for the kernel, with and without the kernel: the same code in both. */
#include "intercept.h"

#include <sys/mman.h>

#include "bpf/emulated.h"
#include "emulate.h"

#define LINES_MAX 256
#define LINE_SIZE 96

/* What a host saw, in memory that its parent shares. */
struct account {
    int count;
    char lines[LINES_MAX][LINE_SIZE];
};

static struct account *account;

__attribute__((format(printf, 1, 2))) static void note(const char *format, ...)
{
    va_list args;

    CHECK(account->count < LINES_MAX);
    va_start(args, format);
    vsnprintf(account->lines[account->count++], LINE_SIZE, format, args);
    va_end(args);
}

/* The host: nothing here knows of the library. */

static int on_record(void *from, void *data, size_t size)
{
    struct emulated_event event; /* in a perf ring it is aligned to 4 */

    CHECK(size >= sizeof(event));
    memcpy(&event, data, sizeof(event));
    note("%s: kind %u, value %lu, %zu bytes", (const char *)from, event.kind, event.value, size);
    return 0;
}

static void on_sample(void *from, int cpu, void *data, uint32_t size)
{
    (void)cpu;
    on_record(from, data, size & ~7u); /* padded by the kernel */
}

static void on_lost(void *from, int cpu, unsigned long long count)
{
    note("%s: CPU %d lost %llu", (const char *)from, cpu, count);
}

static void make_calls(void)
{
    for (int i = 0; i < 3; i++)
        note("getpgid: %d", getpgid(0) > 0);
    note("getpgid: %d", getpgid(-1));
}

static struct bpf_link *attach_program(struct bpf_object *object, const char *name)
{
    struct bpf_program *program = bpf_object__find_program_by_name(object, name);
    struct bpf_link *link = bpf_program__attach(program);

    note("%s: attached %d", name, link != NULL);
    return link;
}

static struct bpf_link *attach_with_cookie(struct bpf_object *object, const char *name)
{
    LIBBPF_OPTS(bpf_tracepoint_opts, options, .bpf_cookie = 4711);
    struct bpf_program *program = bpf_object__find_program_by_name(object, name);
    struct bpf_link *link =
        bpf_program__attach_tracepoint_opts(program, "syscalls", "sys_enter_getpgid", &options);

    note("%s: attached %d", name, link != NULL);
    return link;
}

static int fd_of(struct bpf_object *object, const char *name)
{
    return bpf_object__find_map_fd_by_name(object, name);
}

static void read_maps(struct bpf_object *object)
{
    uint32_t key, next, inner_id = 0, inner_fd;
    uint64_t value = 0, values[256] = {0}, sum = 0;
    int cpus = libbpf_num_possible_cpus();

    for (int err = bpf_map_get_next_key(fd_of(object, "by_number"), NULL, &next); err == 0;
         err = bpf_map_get_next_key(fd_of(object, "by_number"), &key, &next)) {
        key = next;
        note("by_number: %d", bpf_map_lookup_elem(fd_of(object, "by_number"), &key, &value));
        sum += (uint64_t)key * 1000 + value;
    }
    note("by_number: %lu", sum);
    key = 1;
    sum = 0;
    note("per_cpu: %d", bpf_map_lookup_elem(fd_of(object, "per_cpu"), &key, values));
    for (int i = 0; i < cpus; i++)
        sum += values[i];
    note("per_cpu: %lu", sum);
    key = 0;
    note("outer: %d", bpf_map_lookup_elem(fd_of(object, "outer"), &key, &inner_id));
    inner_fd = (uint32_t)bpf_map_get_fd_by_id(inner_id);
    note("inner: %d", bpf_map_lookup_elem((int)inner_fd, &key, &value));
    note("inner: %lu", value);
    close((int)inner_fd);
}

static void read_section(struct bpf_map *map)
{
    long *data = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, bpf_map__fd(map), 0);

    note("%s: mapped %d", bpf_map__name(map), data != MAP_FAILED);
    if (data == MAP_FAILED)
        return;
    note("%s: %ld", bpf_map__name(map), data[0]);
    CHECK_EQ(munmap(data, 4096), 0);
}

/* Global data, mapped as skeletons do it. */
static void read_data(struct bpf_object *object)
{
    struct bpf_map *map;

    bpf_object__for_each_map(map, object)
    {
        if (strstr(bpf_map__name(map), ".bss") || strstr(bpf_map__name(map), ".data"))
            read_section(map);
    }
}

static struct bpf_object *open_and_load(void)
{
    char path[512];
    struct bpf_object *object;
    struct bpf_map *map;
    int err;

    snprintf(path, sizeof(path), "%s/emulated.bpf.o", BPF_OBJECT_DIR);
    object = bpf_object__open_file(path, NULL);
    note("opened: %d", object != NULL);
    CHECK(object);
    bpf_object__for_each_map(map, object)
    {
        int pid = getpid();

        if (strstr(bpf_map__name(map), ".rodata"))
            note("pid: %d", bpf_map__set_initial_value(map, &pid, sizeof(pid)));
    }
    err = bpf_object__load(object);
    note("loaded: %d", err);
    CHECK_EQ(err, 0);
    return object;
}

static void set_tail(struct bpf_object *object)
{
    uint32_t key = 1;
    int fd = bpf_program__fd(bpf_object__find_program_by_name(object, "on_tail"));

    note("tail: %d", bpf_map_update_elem(fd_of(object, "tails"), &key, &fd, BPF_ANY));
}

static void consume(struct ring_buffer *ring, struct perf_buffer *perf)
{
    note("ring: %d", ring_buffer__poll(ring, 1000));
    note("ring: %d", ring_buffer__poll(ring, 0));
    note("perf: %d", perf_buffer__poll(perf, 1000) > 0);
    note("perf: %d", perf_buffer__consume(perf));
}

static void whole_host(void)
{
    struct bpf_object *object = open_and_load();
    struct bpf_link *links[] = {attach_with_cookie(object, "on_enter"),
                                attach_program(object, "on_exit"),
                                attach_program(object, "on_raw")};
    struct ring_buffer *ring =
        ring_buffer__new(fd_of(object, "ring"), on_record, (void *)"ring", NULL);
    struct perf_buffer *perf =
        perf_buffer__new(fd_of(object, "perf"), 8, on_sample, on_lost, (void *)"perf", NULL);

    note("consumers: %d %d", ring != NULL, perf != NULL);
    CHECK(ring && perf);
    set_tail(object);
    make_calls();
    consume(ring, perf);
    read_maps(object);
    read_data(object);
    for (size_t i = 0; i < COUNT_OF(links); i++)
        note("destroyed: %d", bpf_link__destroy(links[i]));
    make_calls();
    note("ring: %d", ring_buffer__poll(ring, 10));
    ring_buffer__free(ring);
    perf_buffer__free(perf);
    bpf_object__close(object);
}

/* Both ways. Events of perf's rings come in the order of CPUs: those lines are sorted. */

static int compare_lines(const void *left, const void *right)
{
    return strcmp(left, right);
}

static void sort_samples(struct account *of)
{
    int first = 0, end;

    while (first < of->count && strncmp(of->lines[first], "perf: kind", 10) != 0)
        first++;
    for (end = first; end < of->count && strncmp(of->lines[end], "perf: kind", 10) == 0; end++)
        ;
    qsort(of->lines[first], (size_t)(end - first), LINE_SIZE, compare_lines);
}

static void need_objects(void)
{
    if (!BPF_OBJECT_DIR[0])
        victim_skip("clang does not compile for BPF here");
    libbpf_set_print(quiet);
}

static void in_the_kernel(void (*host)(void))
{
    pid_t child;

    account = shared_memory(sizeof(*account));
    child = fork();
    if (child == 0) {
        host();
        _exit(0);
    }
    CHECK_EQ(status_of(child), 0);
}

static void in_ours(void (*host)(void))
{
    struct sta *sta;
    int fds;

    account = shared_memory(sizeof(*account));
    sta = emulate();
    host();
    fds = open_fds(); /* what libbpf and the library keep is open now */
    account->count = 0;
    host();
    CHECK_EQ(open_fds(), fds);
    end_emulation(sta);
}

VICTIM(a_host_written_for_the_kernel_sees_the_same)
{
    struct account *kernels;

    need_objects();
    if (geteuid() != 0)
        victim_skip("the kernel's bpf(2) takes root");
    in_the_kernel(whole_host);
    kernels = account;
    in_ours(whole_host);
    sort_samples(kernels);
    sort_samples(account);
    for (int i = 0; i < kernels->count || i < account->count; i++) {
        if (getenv("STA_TEST_LOG"))
            fprintf(stderr, "%-45s %s\n", kernels->lines[i], account->lines[i]);
        if (strcmp(kernels->lines[i], account->lines[i]) != 0)
            victim_failed("line %d: the kernel has '%s', we have '%s'", i, kernels->lines[i],
                          account->lines[i]);
    }
    CHECK(account->count > 60);
}

static bool was_noted(const char *line)
{
    for (int i = 0; i < account->count; i++) {
        if (strcmp(account->lines[i], line) == 0)
            return true;
    }
    return false;
}

/* As whoever this is. */
VICTIM(it_takes_no_privilege)
{
    struct sta *sta;

    need_objects();
    account = shared_memory(sizeof(*account));
    sta = emulate();
    whole_host();
    end_emulation(sta);
    CHECK(was_noted("loaded: 0"));
    CHECK(was_noted("ring: kind 0, value 0, 16 bytes"));
    CHECK(was_noted("perf: kind 3, value 121, 16 bytes"));
    CHECK(was_noted("per_cpu: 40"));
    CHECK(was_noted("inner: 400"));
    CHECK(was_noted("emulated.bss: 12"));
}

/* Hooks have 64 KiB of stack then. */
VICTIM(it_works_on_private_stacks)
{
    struct sta *sta;

    need_objects();
    account = shared_memory(sizeof(*account));
    sta = new_registry();
    CHECK_EQ(sta_emulate_start(sta, NULL), 0);
    CHECK_EQ(try_install(sta, STA_TRANSFORM_PRIVATE_STACK), 0);
    whole_host();
    end_emulation(sta);
    CHECK(was_noted("inner: 400"));
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_host_written_for_the_kernel_sees_the_same),
        cmocka_unit_test(it_takes_no_privilege),
        cmocka_unit_test(it_works_on_private_stacks),
    };

    return run_interception_tests(argc, argv, tests);
}
