/* SPDX-License-Identifier: MIT */
/* Object files, as clang makes them: opened, loaded, attached to real calls. */
#define TEST_METHOD STA_METHOD_AUTO
#include "intercept.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/stat.h>
#include <sys/utsname.h>

#include "bpf/sections.h"

/* What was logged last at the level of errors, and all warnings. */
static char last_error[1024], warnings[4096];

static void keep(void *data, enum sta_log_level level, const char *message)
{
    (void)data;
    if (getenv("STA_TEST_LOG"))
        fprintf(stderr, "%d: %s\n", level, message);
    if (level == STA_LOG_ERROR)
        snprintf(last_error, sizeof(last_error), "%s", message);
    if (level == STA_LOG_WARN && strlen(warnings) + strlen(message) + 2 < sizeof(warnings))
        strcat(strcat(warnings, message), "\n");
}

static const char *path_of(const char *name)
{
    static _Thread_local char path[512];

    snprintf(path, sizeof(path), "%s/%s.bpf.o", BPF_OBJECT_DIR, name);
    return path;
}

static struct sta *quiet_registry(void)
{
    const struct sta_options options = {.size = sizeof(options), .log = keep};
    struct sta *sta;

    CHECK_EQ(sta_new(&sta, &options), 0);
    return sta;
}

static struct sta_object *open_object(struct sta *sta, const char *name)
{
    struct sta_object *object = NULL;
    int err = sta_object_open(&object, sta, path_of(name));

    if (err < 0)
        victim_failed("%s: %d: %s", name, err, last_error);
    return object;
}

static long *number(struct sta_object *object, const char *name)
{
    size_t size = 0;
    long *at = sta_object_global(object, name, &size);

    if (!at)
        victim_failed("no variable %s", name);
    CHECK(size >= sizeof(int));
    return at;
}

static void set_target(struct sta_object *object)
{
    *(int *)number(object, "target_pid") = getpid();
}

static void load(struct sta_object *object)
{
    int err = sta_object_load(object);

    if (err < 0)
        victim_failed("not loaded: %d: %s", err, last_error);
}

static void attach_all(struct sta_object *object, int count)
{
    int err = sta_object_attach(object);

    if (err != count)
        victim_failed("not attached: %d: %s", err, last_error);
}

VICTIM(each_section_sees_its_calls)
{
    struct sta *sta = quiet_registry();
    struct sta_object *object = open_object(sta, "sections");
    long *seen;

    set_target(object);
    CHECK_EQ(*(int *)number(object, "answer"), 42);
    load(object);
    install(sta);
    attach_all(object, 6);
    for (int i = 0; i < 3; i++)
        getppid();
    seen = number(object, "seen");
    for (int i = 0; i < SEEN_RAW_EXIT; i++)
        CHECK_EQ(seen[i], 3);
    CHECK(seen[SEEN_RAW_EXIT] >= 3);
    CHECK_EQ(*number(object, "last_result"), getppid());
    CHECK_EQ(sta_object_detach(object), 0);
    getppid();
    CHECK_EQ(seen[SEEN_TP_ENTER], 4);
    attach_all(object, 6);
    getppid();
    CHECK_EQ(seen[SEEN_TP_ENTER], 5);
    sta_object_close(object);
    getppid();
    sta_free(sta);
}

VICTIM(registers_are_those_of_the_call)
{
    struct sta *sta = quiet_registry();
    struct sta_object *object = open_object(sta, "registers");
    int fds[2];

    CHECK_EQ(pipe(fds), 0);
    set_target(object);
    *(int *)number(object, "target_fd") = fds[1];
    install(sta);
    attach_all(object, 3);
    CHECK_EQ(write(fds[1], "three", 3), 3);
    CHECK_EQ(write(fds[1], "four", 4), 4);
    CHECK_EQ(*number(object, "raw_bytes"), 7);
    CHECK_EQ(*number(object, "probe_bytes"), 7);
    CHECK_EQ(*number(object, "probe_calls"), 2);
    CHECK_EQ(*number(object, "return_value"), 4);
    CHECK_EQ(write(-1, "", 1), -1);
    CHECK_EQ(*number(object, "return_value"), -EBADF);
    sta_object_close(object);
    sta_free(sta);
}

VICTIM(typed_tracepoints_see_all_calls)
{
    struct sta *sta = quiet_registry();
    struct sta_object *object = open_object(sta, "typed");

    set_target(object);
    install(sta);
    attach_all(object, 2);
    getppid();
    getppid();
    CHECK_EQ(*number(object, "entered"), 2);
    CHECK(*number(object, "left") >= 2);
    sta_object_close(object);
    sta_free(sta);
}

VICTIM(maps_and_programs_are_found_by_name)
{
    struct sta *sta = quiet_registry();
    struct sta_object *object = open_object(sta, "sections");
    struct sta_map_info info = {.size = sizeof(info)};

    CHECK(sta_object_map(object, ".bss") == NULL);
    CHECK(sta_object_program(object, "tp_enter") == NULL);
    CHECK(sta_object_global(object, "nothing", NULL) == NULL);
    load(object);
    CHECK_EQ(sta_object_load(object), -EALREADY);
    CHECK(sta_object_map(object, ".bss") != NULL);
    CHECK_EQ(sta_map_info(sta_object_map(object, ".rodata"), &info), 0);
    CHECK_EQ(info.is_frozen, 1);
    CHECK(sta_object_map(object, "nothing") == NULL);
    CHECK(sta_object_program(object, "tp_enter") != NULL);
    CHECK(sta_object_program(object, "nothing") == NULL);
    sta_object_close(object);
    sta_object_close(NULL);
    sta_free(sta);
}

VICTIM(maps_are_wired_as_the_source_says)
{
    struct sta *sta = quiet_registry();
    struct sta_object *object = open_object(sta, "maps");
    int key = 0, value;
    long numbers[1024];

    *(int *)number(object, "limit") = 3;
    install(sta);
    attach_all(object, 2);
    for (int i = 0; i < 5; i++)
        getppid();
    CHECK_EQ(sta_object_detach(object), 0);
    CHECK_EQ(sta_map_lookup(sta_object_map(object, "inner_one"), &key, &value, 0), 0);
    CHECK(value >= 5);
    CHECK_EQ(sta_map_lookup(sta_object_map(object, "per_cpu"), &key, numbers, 0), 0);
    for (uint32_t i = 1; i < sta_map_cpus(); i++)
        numbers[0] += numbers[i];
    CHECK(numbers[0] >= 5);
    sta_object_close(object);
    sta_free(sta);
}

VICTIM(the_rest_of_what_libbpf_does_works)
{
    struct sta *sta = quiet_registry();
    struct sta_object *object = open_object(sta, "more");
    unsigned major, minor;
    struct utsname name;

    CHECK_EQ(*(int *)number(object, "custom"), 7);
    install(sta);
    attach_all(object, 2);
    getuid();
    getuid();
    CHECK_EQ(uname(&name), 0);
    CHECK_EQ(sscanf(name.release, "%u.%u", &major, &minor), 2);
    CHECK_EQ(*(int *)number(object, "kernel_version") >> 8, major << 8 | minor);
    CHECK_EQ(*(int *)number(object, "numbers"), 28);
    CHECK_EQ(*(int *)number(object, "tail_calls"), 2);
    *(int *)number(object, "custom") = 1;
    getuid();
    CHECK_EQ(*(int *)number(object, "numbers"), 30);
    getppid();
    CHECK_EQ(*(int *)number(object, "tail_calls"), 4);
    CHECK(sta_object_program(object, "not_loaded") == NULL);
    sta_object_close(object);
    sta_free(sta);
}

struct opened {
    int samples, lost, wrong;
    int stop_after;
};

/* The beginning of struct event, opens.bpf.c; the path is its last member but for padding. */
static int on_open(void *data, uint32_t cpu, const void *sample, size_t size)
{
    struct opened *opened = data;
    const char *text = sample;

    if (!sample) {
        opened->lost += (int)size;
        return 0;
    }
    opened->samples++;
    opened->wrong += cpu >= sta_map_cpus() || size < 312 || !memmem(text, size, "/no/such/", 9);
    return opened->samples == opened->stop_after ? -ECANCELED : 0;
}

VICTIM(perf_rings_are_consumed)
{
    struct sta *sta = quiet_registry();
    struct sta_object *object = open_object(sta, "opens");
    struct opened opened = {0};
    struct sta_perf *perf;
    char path[32];

    set_target(object);
    load(object);
    CHECK_EQ(sta_perf_open(&perf, sta_object_map(object, "started"), 1), -EINVAL);
    CHECK_EQ(sta_perf_open(&perf, sta_object_map(object, "events"), 3), -EINVAL);
    CHECK_EQ(sta_perf_open(&perf, sta_object_map(object, "events"), 1), 0);
    install(sta);
    attach_all(object, 4);
    CHECK_EQ(sta_perf_poll(perf, 0, on_open, &opened), 0);
    CHECK_EQ(sta_perf_poll(perf, 10, on_open, &opened), 0);
    /* Many more than fit, over the end of the ring again and again. */
    for (int i = 0; i < 300; i++) {
        snprintf(path, sizeof(path), "/no/such/%d", i);
        open(path, O_RDONLY);
        if (i % 7 == 0)
            CHECK(sta_perf_poll(perf, 1000, on_open, &opened) > 0);
    }
    sta_perf_consume(perf, on_open, &opened);
    CHECK_EQ(opened.samples, 300);
    CHECK_EQ(opened.lost, 0);
    CHECK_EQ(opened.wrong, 0);
    for (int i = 0; i < 100; i++)
        open("/no/such/room", O_RDONLY);
    sta_perf_consume(perf, on_open, &opened);
    open("/no/such/room", O_RDONLY);
    sta_perf_consume(perf, on_open, &opened);
    CHECK(opened.lost > 0);
    for (uint32_t i = 0; i < 100; i++) /* another CPU's ring may have counted what it lost */
        open("/no/such/room", O_RDONLY);
    sta_perf_consume(perf, on_open, &opened);
    CHECK(opened.samples + opened.lost <= 501);
    CHECK_EQ(opened.wrong, 0);
    open("/no/such/file", O_RDONLY);
    open("/no/such/file", O_RDONLY);
    opened.stop_after = opened.samples + 1;
    CHECK_EQ(sta_perf_consume(perf, on_open, &opened), -ECANCELED);
    sta_perf_close(perf);
    open("/no/such/ring", O_RDONLY);
    sta_perf_close(NULL);
    sta_object_close(object);
    sta_free(sta);
}

VICTIM(what_cannot_be_attached_is_refused_by_name)
{
    struct sta *sta = quiet_registry();
    struct sta_object *object = NULL;

    CHECK_EQ(sta_object_open(&object, sta, path_of("mixed")), -ENOTSUP);
    CHECK(object == NULL);
    CHECK(strstr(last_error, "'probe_of_a_function'") && strstr(last_error, "'kprobe/vfs_read'"));
    sta_free(sta);
}

VICTIM(or_left_out_if_that_is_asked_for)
{
    struct sta *sta = quiet_registry();
    const struct sta_object_options options = {
        .size = sizeof(options), .path = path_of("mixed"), .flags = STA_OBJECT_SKIP_UNSUPPORTED};
    struct sta_object *object;

    CHECK_EQ(sta_object_open_with(&object, sta, &options), 0);
    CHECK(strstr(warnings, "'probe_of_a_function'") && strstr(warnings, "'another_tracepoint'") &&
          strstr(warnings, "'packets'"));
    install(sta);
    attach_all(object, 1);
    getppid();
    CHECK_EQ(*number(object, "entered"), 1);
    sta_object_close(object);
    sta_free(sta);
}

VICTIM(an_unsafe_program_is_refused_with_the_verifiers_reason)
{
    struct sta *sta = quiet_registry();
    struct sta_object *object = open_object(sta, "unsafe");

    install(sta);
    CHECK_EQ(sta_object_attach(object), -EACCES);
    if (!strstr(last_error, "'nosy'") || !strstr(last_error, "invalid bpf_context access off=9000"))
        victim_failed("the reason given is: %s", last_error);
    getppid();
    CHECK_EQ(sta_object_attach(object), -EINVAL);
    CHECK(sta_object_map(object, ".bss") == NULL);
    sta_object_close(object);
    sta_free(sta);
}

VICTIM(what_cannot_be_attached_leaves_nothing_attached)
{
    struct sta *sta = quiet_registry();
    struct sta_object *object = open_object(sta, "past_end");
    long *entered;

    install(sta);
    CHECK_EQ(sta_object_attach(object), -EACCES);
    CHECK(strstr(last_error, "'does_not_fit'"));
    entered = number(object, "entered");
    getppid();
    CHECK_EQ(*entered, 0);
    CHECK_EQ(sta_object_detach(object), -ENOENT);
    sta_object_close(object);
    sta_free(sta);
}

VICTIM(an_object_can_come_from_memory)
{
    int fd = open(path_of("sections"), O_RDONLY);
    struct sta *sta = quiet_registry();
    struct sta_object_options options = {.size = sizeof(options)};
    struct sta_object *object;
    struct stat file;
    char *data;

    CHECK_EQ(sta_object_open_with(&object, sta, &options), -EINVAL);
    CHECK_EQ(fstat(fd, &file), 0);
    data = malloc((size_t)file.st_size);
    CHECK_EQ(read(fd, data, (size_t)file.st_size), file.st_size);
    close(fd);
    options.data = data;
    options.data_size = (size_t)file.st_size;
    CHECK_EQ(sta_object_open_with(&object, sta, &options), 0);
    memset(data, 0xff, (size_t)file.st_size);
    free(data);
    load(object);
    sta_object_close(object);
    options.data = "no object";
    options.data_size = 9;
    CHECK_EQ(sta_object_open_with(&object, sta, &options), -EINVAL);
    CHECK_EQ(sta_object_open(&object, sta, "/no/such/file"), -ENOENT);
    CHECK_EQ(sta_object_open(&object, sta, "/dev/null"), -EINVAL);
    sta_free(sta);
}

/* A sum over the bytes of all code of this process but the heap's. */
static unsigned long sum_of_code(void)
{
    FILE *maps = fopen("/proc/self/maps", "r");
    unsigned long sum = 0, start, end;
    char line[512], mode[8];

    CHECK(maps != NULL);
    while (fgets(line, sizeof(line), maps)) {
        if (sscanf(line, "%lx-%lx %7s", &start, &end, mode) != 3 || strcmp(mode, "r-xp") != 0 ||
            !strchr(line, '/'))
            continue;
        for (const unsigned char *at = (void *)start; at < (unsigned char *)end; at++)
            sum = sum * 31 + *at;
    }
    fclose(maps);
    return sum;
}

static _Atomic bool is_done;
static _Atomic long kernel_answers;

/* bpf(2) of another thread goes to the kernel: to it this is no command. */
static void *ask_the_kernel(void *unused)
{
    (void)unused;
    while (!atomic_load(&is_done)) {
        char map_create[72] = {2 /* array */, 0, 0, 0, 4, 0, 0, 0, 4, 0, 0, 0, 1};
        long fd = syscall(SYS_bpf, 0 /* MAP_CREATE */, map_create, sizeof(map_create));
        char path[64], link[64];
        ssize_t size;

        atomic_fetch_add(&kernel_answers, 1);
        if (fd < 0)
            continue; /* not allowed to us */
        snprintf(path, sizeof(path), "/proc/self/fd/%ld", fd);
        size = readlink(path, link, sizeof(link) - 1);
        link[size > 0 ? size : 0] = '\0';
        if (!strstr(link, "bpf-map"))
            victim_failed("another thread got a map of ours: %s", link);
        close((int)fd);
    }
    return NULL;
}

VICTIM(loading_changes_no_code_and_disturbs_no_other_thread)
{
    unsigned long before = sum_of_code();
    struct sta *sta = quiet_registry();
    struct sta_object *object;
    struct sigaction action;
    pthread_t thread;

    CHECK_EQ(pthread_create(&thread, NULL, ask_the_kernel, NULL), 0);
    for (int i = 0; i < 5; i++) {
        object = open_object(sta, "sections");
        load(object);
        sta_object_close(object);
    }
    CHECK_EQ(sum_of_code(), before);
    atomic_store(&is_done, true);
    pthread_join(thread, NULL);
    CHECK(atomic_load(&kernel_answers) > 0);
    CHECK_EQ(sigaction(SIGSYS, NULL, &action), 0);
    CHECK(action.sa_handler == SIG_DFL);
    sta_free(sta);
}

VICTIM(no_descriptor_is_left)
{
    struct sta *sta = quiet_registry();
    int before, after;

    for (int i = 0; i < 3; i++) {
        struct sta_object *object = open_object(sta, "sections");

        load(object);
        sta_object_close(object);
        after = dup(0);
        close(after);
        if (i == 0)
            before = after; /* what stays for the process is there now */
    }
    CHECK_EQ(after, before);
    sta_free(sta);
}

/* Loads while a transformer is installed, whose registry may be another one. */
static void load_beside(enum sta_transform_method method, bool is_another)
{
    const struct sta_transform_options how = {.size = sizeof(how), .method = method};
    struct sta *sta = quiet_registry(), *other = is_another ? quiet_registry() : sta;
    struct seen *seen = count_calls(other, SYS_getppid);
    struct sta_object *object;

    if (sta_transform_install(other, &how) == -ENOTSUP)
        victim_skip("this method does not work here");
    object = open_object(sta, "sections");
    load(object);
    getppid();
    CHECK_EQ(atomic_load(&seen->enters), 1);
    sta_object_close(object);
    remove_transformer(other);
    if (is_another)
        sta_free(other);
    sta_free(sta);
}

VICTIM(it_loads_while_calls_are_rewritten)
{
    load_beside(STA_METHOD_REWRITE, false);
}

VICTIM(it_loads_while_calls_are_dispatched)
{
    load_beside(STA_METHOD_SUD, false);
}

VICTIM(it_loads_while_another_registry_has_the_transformer)
{
    load_beside(STA_METHOD_REWRITE, true);
}

VICTIM(it_loads_while_the_process_emulates)
{
    struct sta *sta = quiet_registry();
    struct sta_object *object;

    CHECK_EQ(sta_emulate_process(NULL), 0);
    CHECK_EQ(sta_emulate_process(NULL), 0);
    object = open_object(sta, "sections");
    load(object);
    CHECK(sta_object_map(object, ".bss") != NULL);
    sta_object_close(object);
    sta_free(sta);
}

/* Where a variable of libbpf's object is: its offset in one of the maps; -1: there is none. */
static int find_variable(struct bpf_object *object, const char *name, struct bpf_map **map)
{
    const struct btf *btf = bpf_object__btf(object);

    bpf_object__for_each_map(*map, object)
    {
        const struct btf_type *section = btf__type_by_id(btf, bpf_map__btf_value_type_id(*map));
        const struct btf_var_secinfo *variable;

        if (!section || !btf_is_datasec(section))
            continue;
        variable = btf_var_secinfos(section);
        for (unsigned i = 0; i < btf_vlen(section); i++, variable++) {
            const struct btf_type *type = btf__type_by_id(btf, variable->type);

            if (strcmp(btf__name_by_offset(btf, type->name_off), name) == 0)
                return (int)variable->offset;
        }
    }
    return -1;
}

static long number_in(struct bpf_object *object, const char *name)
{
    struct bpf_map *map;
    int offset = find_variable(object, name, &map);
    char values[256];
    uint32_t key = 0;
    long number;

    CHECK(offset >= 0);
    CHECK_EQ(bpf_map_lookup_elem(bpf_map__fd(map), &key, values), 0);
    memcpy(&number, values + offset, sizeof(number));
    return number;
}

static void set_constant(struct bpf_object *object, const char *name, int value)
{
    struct bpf_map *map;
    int offset = find_variable(object, name, &map);
    size_t size;

    if (offset >= 0)
        memcpy((char *)bpf_map__initial_value(map, &size) + offset, &value, sizeof(value));
}

/* As a host of libbpf's: opened, told the process, loaded, attached section by section. */
static struct bpf_object *attach_by_libbpf(const char *name, int fd)
{
    struct bpf_object *object = bpf_object__open_file(path_of(name), NULL);
    struct bpf_program *program;

    CHECK(object != NULL);
    set_constant(object, "target_pid", getpid());
    set_constant(object, "target_fd", fd);
    CHECK_EQ(bpf_object__load(object), 0);
    bpf_object__for_each_program(program, object) CHECK(bpf_program__attach(program) != NULL);
    return object;
}

VICTIM(what_this_attaches_libbpf_attaches_too)
{
    struct bpf_object *registers, *typed;
    int fds[2];

    CHECK_EQ(pipe(fds), 0);
    CHECK_EQ(sta_emulate_process(NULL), 0);
    registers = attach_by_libbpf("registers", fds[1]);
    typed = attach_by_libbpf("typed", -1);
    CHECK_EQ(write(fds[1], "three", 3), 3);
    CHECK_EQ(write(fds[1], "four", 4), 4);
    CHECK_EQ(number_in(registers, "raw_bytes"), 7);
    CHECK_EQ(number_in(registers, "probe_bytes"), 7);
    CHECK_EQ(number_in(registers, "probe_calls"), 2);
    CHECK_EQ(number_in(registers, "return_value"), 4);
    getppid();
    getppid();
    CHECK_EQ(number_in(typed, "entered"), 2);
    CHECK(number_in(typed, "left") >= 2);
    bpf_object__close(registers);
    bpf_object__close(typed);
}

static void *load_often(void *sta)
{
    for (int i = 0; i < 20; i++) {
        struct sta_object *object = open_object(sta, i % 2 ? "sections" : "maps");

        load(object);
        CHECK(sta_object_map(object, ".bss") != NULL);
        sta_object_close(object);
    }
    return NULL;
}

VICTIM(threads_load_at_the_same_time)
{
    struct sta *sta = quiet_registry();
    pthread_t threads[4];

    for (size_t i = 0; i < COUNT_OF(threads); i++)
        CHECK_EQ(pthread_create(&threads[i], NULL, load_often, sta), 0);
    for (size_t i = 0; i < COUNT_OF(threads); i++)
        pthread_join(threads[i], NULL);
    sta_free(sta);
}

static void *attach_often(void *sta)
{
    struct sta_object *object = open_object(sta, "sections");

    load(object);
    for (int i = 0; i < 50; i++) {
        attach_all(object, 6);
        CHECK_EQ(sta_object_detach(object), 0);
    }
    sta_object_close(object);
    return NULL;
}

static void *call_often(void *unused)
{
    (void)unused;
    while (!atomic_load(&is_done))
        getppid();
    return NULL;
}

VICTIM(threads_attach_under_load)
{
    struct sta *sta = quiet_registry();
    pthread_t threads[2], caller;

    install(sta);
    CHECK_EQ(pthread_create(&caller, NULL, call_often, NULL), 0);
    for (size_t i = 0; i < COUNT_OF(threads); i++)
        CHECK_EQ(pthread_create(&threads[i], NULL, attach_often, sta), 0);
    for (size_t i = 0; i < COUNT_OF(threads); i++)
        pthread_join(threads[i], NULL);
    atomic_store(&is_done, true);
    pthread_join(caller, NULL);
    sta_free(sta);
}

/* As kernels before 5.11: prctl(2) knows nothing of Syscall User Dispatch. */
static void forbid_user_dispatch(void)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_prctl, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 59, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EINVAL),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const struct sock_fprog program = {COUNT_OF(filter), filter};

    CHECK_EQ(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    CHECK_EQ(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
}

VICTIM(without_user_dispatch_code_is_rewritten_and_restored)
{
    struct sta *sta = quiet_registry();
    struct sta_object *object;
    unsigned long before = sum_of_code();

    forbid_user_dispatch();
    object = open_object(sta, "sections");
    load(object);
    CHECK_EQ(sum_of_code(), before);
    sta_object_close(object);
    sta_free(sta);
}

static int load_inside(void *ctx, size_t ctx_size, uint64_t *ret, void *object)
{
    (void)ctx, (void)ctx_size, (void)ret;
    return sta_object_load(object);
}

VICTIM(nothing_is_loaded_inside_a_callback)
{
    struct sta *sta = quiet_registry();
    struct sta_object *object = open_object(sta, "sections");
    struct sta_attach_info info = {.size = sizeof(info)};
    int id = attach(sta, SYS_getuid, true, load_inside, object);

    sta_dispatch(sta, SYS_getuid, 0, 0, 0, 0, 0, 0);
    CHECK_EQ(sta_attach_info(sta, id, &info), 0);
    CHECK_EQ(info.failed, 1);
    sta_object_close(object);
    sta_free(sta);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_section_sees_its_calls),
        cmocka_unit_test(registers_are_those_of_the_call),
        cmocka_unit_test(typed_tracepoints_see_all_calls),
        cmocka_unit_test(maps_and_programs_are_found_by_name),
        cmocka_unit_test(maps_are_wired_as_the_source_says),
        cmocka_unit_test(the_rest_of_what_libbpf_does_works),
        cmocka_unit_test(perf_rings_are_consumed),
        cmocka_unit_test(what_cannot_be_attached_is_refused_by_name),
        cmocka_unit_test(or_left_out_if_that_is_asked_for),
        cmocka_unit_test(an_unsafe_program_is_refused_with_the_verifiers_reason),
        cmocka_unit_test(what_cannot_be_attached_leaves_nothing_attached),
        cmocka_unit_test(an_object_can_come_from_memory),
        cmocka_unit_test(loading_changes_no_code_and_disturbs_no_other_thread),
        cmocka_unit_test(no_descriptor_is_left),
        cmocka_unit_test(it_loads_while_calls_are_rewritten),
        cmocka_unit_test(it_loads_while_calls_are_dispatched),
        cmocka_unit_test(it_loads_while_another_registry_has_the_transformer),
        cmocka_unit_test(it_loads_while_the_process_emulates),
        cmocka_unit_test(what_this_attaches_libbpf_attaches_too),
        cmocka_unit_test(threads_load_at_the_same_time),
        cmocka_unit_test(threads_attach_under_load),
        cmocka_unit_test(without_user_dispatch_code_is_rewritten_and_restored),
        cmocka_unit_test(nothing_is_loaded_inside_a_callback),
    };

    if (!*BPF_OBJECT_DIR) {
        printf("skipped: no clang that compiles for BPF\n");
        return VICTIM_SKIPPED;
    }
    return run_interception_tests(argc, argv, tests);
}
