/* SPDX-License-Identifier: MIT */
/*
 * Loading objects (BPF_OBJECT_DIR) without anybody noticing: other threads, other registries, the
 * code of the process; and beside an emulation, by libbpf itself.
 */
#define TEST_METHOD STA_METHOD_AUTO
#include "intercept.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <linux/filter.h>
#include <linux/seccomp.h>

#include "objects.h"

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
