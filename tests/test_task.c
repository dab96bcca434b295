/* SPDX-License-Identifier: MIT */
/*
 * The image of the current task against the kernel's own: the same program follows the same
 * pointers, at the offsets of the kernel's BTF, in threads and processes of all kinds.
 */
#include "intercept.h"

#include <sched.h>
#include <sys/utsname.h>

#include "base/ids.h"
#include "ebpf/helpers.h"
#include "ebpf/task.h"
#include "maps/map.h"
#include "vm/build.h"
#include "vm/kernel_bpf.h"

#define HOPS       3
#define VALUE_ROOM 400

/* What the program finds in its map, and leaves there: it reads the pointers at the first offsets,
 * and `size` bytes at the last one. */
struct asked {
    uint64_t offsets[HOPS + 1];
    uint64_t size;
    int64_t results[HOPS + 1];
    uint64_t tgid; /* as the helper has it */
    uint8_t value[VALUE_ROOM];
};

static struct sta_map *our_map;
static struct sta_program *our_program;
static struct asked *kernel_asked, *our_asked;
static int kernel_program = -1;

static int find_map(void *data, int fd, int is_index, struct sta_map **out)
{
    (void)data, (void)fd, (void)is_index;
    *out = our_map;
    return 0;
}

#define AT(member) ((int)offsetof(struct asked, member))

/* r6 the map's value, r7 where to go on from. A hop without an offset is none. */
static size_t write_program(struct bpf_insn *insns, int map)
{
    const struct bpf_insn begin[] = {
        {.code = BPF_LD | BPF_IMM | BPF_DW,
         .dst_reg = 6,
         .src_reg = BPF_PSEUDO_MAP_VALUE,
         .imm = map},
        {0},
        I(CALL, 0, 0, 0, BPF_FUNC_get_current_pid_tgid),
        I(RSH64K, 0, 0, 0, 32),
        I(STXDW, 6, 0, AT(tgid), 0),
        I(CALL, 0, 0, 0, BPF_FUNC_get_current_task),
        I(MOV64X, 7, 0, 0, 0),
    };
    const struct bpf_insn end[] = {
        I(MOV64X, 1, 6, 0, 0),
        I(ADD64K, 1, 0, 0, AT(value)),
        I(LDXDW, 2, 6, AT(size), 0),
        I(JGT64K, 2, 0, 5, VALUE_ROOM),
        I(LDXDW, 3, 6, AT(offsets[HOPS]), 0),
        I(ADD64X, 3, 7, 0, 0),
        I(CALL, 0, 0, 0, BPF_FUNC_probe_read_kernel),
        I(STXDW, 6, 0, AT(results[HOPS]), 0),
        I(JA, 0, 0, 0, 0),
        I(MOV64K, 0, 0, 0, 0),
        I(EXIT, 0, 0, 0, 0),
    };
    size_t count = COUNT_OF(begin);

    memcpy(insns, begin, sizeof(begin));
    for (int hop = 0; hop < HOPS; hop++) {
        const struct bpf_insn step[] = {
            I(LDXDW, 3, 6, (int)(offsetof(struct asked, offsets) + 8u * (unsigned)hop), 0),
            I(JEQ64K, 3, 0, 7, 0),
            I(ADD64X, 3, 7, 0, 0),
            I(MOV64X, 1, 10, 0, 0),
            I(ADD64K, 1, 0, 0, -8),
            I(MOV64K, 2, 0, 0, 8),
            I(CALL, 0, 0, 0, BPF_FUNC_probe_read_kernel),
            I(STXDW, 6, 0, (int)(offsetof(struct asked, results) + 8u * (unsigned)hop), 0),
            I(LDXDW, 7, 10, -8, 0),
        };

        memcpy(insns + count, step, sizeof(step));
        count += COUNT_OF(step);
    }
    memcpy(insns + count, end, sizeof(end));
    return count + COUNT_OF(end);
}

static void load_ours(void)
{
    const struct sta_map_options options = {.size = sizeof(options),
                                            .type = BPF_MAP_TYPE_ARRAY,
                                            .key_size = 4,
                                            .value_size = sizeof(struct asked),
                                            .max_entries = 1};
    const struct sta_program_options how = {
        .size = sizeof(how), .find_map = find_map, .log = log_to_stderr};
    struct bpf_insn insns[64];

    CHECK_EQ(sta_map_create(&our_map, &options), 0);
    our_asked = our_map->values;
    CHECK_EQ(sta_program_load(&our_program, insns, write_program(insns, 0), &how), 0);
}

static void load_both(void)
{
    struct bpf_insn insns[64];
    char log[4096] = "";
    void *value;
    int map;

    load_ours();
    map = kernel_array(sizeof(struct asked), &value);
    if (map == -EPERM)
        victim_skip("no bpf(2) here");
    CHECK(map >= 0);
    kernel_asked = value;
    kernel_program = kernel_load(BPF_PROG_TYPE_RAW_TRACEPOINT, insns, write_program(insns, map),
                                 log, sizeof(log));
    if (kernel_program < 0)
        victim_failed("the kernel does not load it: %s", log);
}

static void set_asked(struct asked *asked, const int *fields, unsigned count, uint64_t size)
{
    memset(asked, 0, sizeof(*asked));
    for (unsigned i = 0; i + 1 < count; i++)
        asked->offsets[i] = sta__task_offsets[fields[i]];
    asked->offsets[HOPS] = sta__task_offsets[fields[count - 1]];
    asked->size = size;
}

static void run_ours(const int *fields, unsigned count, uint64_t size)
{
    uint64_t ret;

    set_asked(our_asked, fields, count, size);
    CHECK_EQ(sta_program_run(our_program, NULL, 0, &ret), 0);
    for (int i = 0; i <= HOPS; i++)
        CHECK_EQ(our_asked->results[i], 0);
}

static void run_in_kernel(const int *fields, unsigned count, uint64_t size)
{
    set_asked(kernel_asked, fields, count, size);
    CHECK_EQ(kernel_run(kernel_program), 0);
}

/* Process ids are those that the process sees, and not the system's. */
static bool is_in_pid_namespace(void)
{
    static const int pid[] = {STA__FIELD_PID};

    run_in_kernel(pid, 1, 4);
    return kernel_asked->tgid != (uint64_t)getpid();
}

static void compare_fields(const char *name, const int *fields, unsigned count, uint64_t size)
{
    for (unsigned i = 0; i < count; i++) {
        if (sta__task_offsets[fields[i]] == STA__TASK_ABSENT)
            return;
    }
    run_ours(fields, count, size);
    run_in_kernel(fields, count, size);
    for (int i = 0; i <= HOPS; i++)
        CHECK_EQ(kernel_asked->results[i], 0);
    if (memcmp(our_asked->value, kernel_asked->value, size) != 0)
        victim_failed("%s: %llx '%.16s', in the kernel %llx '%.16s'", name,
                      *(unsigned long long *)our_asked->value, our_asked->value,
                      *(unsigned long long *)kernel_asked->value, kernel_asked->value);
}

#define F(name) STA__FIELD_##name
#define COMPARE(size, ...)                                   \
    compare_fields(#__VA_ARGS__, (const int[]){__VA_ARGS__}, \
                   sizeof((const int[]){__VA_ARGS__}) / sizeof(int), size)

/* In ticks, which is what /proc has. */
static void compare_start(int field, const char *name)
{
    const int fields[] = {field};
    uint64_t ours, kernel;

    run_ours(fields, 1, 8);
    run_in_kernel(fields, 1, 8);
    memcpy(&ours, our_asked->value, 8);
    memcpy(&kernel, kernel_asked->value, 8);
    if (ours / 10000000 != kernel / 10000000)
        victim_failed("%s: %llu, in the kernel %llu", name, (unsigned long long)ours,
                      (unsigned long long)kernel);
}

static void compare_all(void)
{
    if (!is_in_pid_namespace()) {
        COMPARE(4, F(PID));
        COMPARE(4, F(TGID));
        COMPARE(4, F(REAL_PARENT), F(TGID));
        COMPARE(4, F(PARENT), F(TGID));
        COMPARE(4, F(GROUP_LEADER), F(PID));
        COMPARE(4, F(GROUP_LEADER), F(REAL_PARENT), F(TGID));
        COMPARE(4, F(THREAD_PID), F(PID_NUMBER));
    }
    COMPARE(4, F(FLAGS));
    COMPARE(4, F(EXIT_CODE));
    COMPARE(16, F(COMM));
    COMPARE(16, F(GROUP_LEADER), F(COMM));
    COMPARE(16, F(REAL_PARENT), F(GROUP_LEADER), F(COMM));
    COMPARE(4, F(CRED), F(UID));
    COMPARE(4, F(CRED), F(EUID));
    COMPARE(4, F(CRED), F(SUID));
    COMPARE(4, F(CRED), F(FSUID));
    COMPARE(4, F(REAL_CRED), F(GID));
    COMPARE(4, F(CRED), F(EGID));
    COMPARE(4, F(CRED), F(SGID));
    COMPARE(4, F(CRED), F(FSGID));
    COMPARE(4, F(CRED), F(CRED_USER), F(USER_INUM));
    COMPARE(4, F(REAL_PARENT), F(CRED), F(EUID));
    COMPARE(4, F(NSPROXY), F(NSPROXY_MNT), F(MNT_INUM));
    COMPARE(4, F(NSPROXY), F(NSPROXY_UTS), F(UTS_INUM));
    COMPARE(4, F(NSPROXY), F(NSPROXY_IPC), F(IPC_INUM));
    COMPARE(4, F(NSPROXY), F(NSPROXY_PID), F(PID_INUM));
    COMPARE(4, F(NSPROXY), F(NSPROXY_NET), F(NET_INUM));
    COMPARE(4, F(NSPROXY), F(NSPROXY_TIME), F(TIME_INUM));
    COMPARE(4, F(NSPROXY), F(NSPROXY_CGROUP), F(CGROUP_INUM));
    COMPARE(390, F(NSPROXY), F(NSPROXY_UTS), F(UTS_NAME));
    compare_start(F(START_TIME), "start_time");
    compare_start(F(START_BOOTTIME), "start_boottime");
}

VICTIM(fields_are_the_kernels)
{
    load_both();
    CHECK(sta__task_offsets[STA__FIELD_TGID] == sta__task_offsets[STA__FIELD_PID] + 4);
    compare_all();
}

static void *compare_in_thread(void *unused)
{
    prctl(PR_SET_NAME, "another (na)me");
    compare_all();
    return unused;
}

VICTIM(fields_are_the_kernels_in_threads)
{
    pthread_t thread;

    load_both();
    prctl(PR_SET_NAME, "the leader");
    CHECK_EQ(pthread_create(&thread, NULL, compare_in_thread, NULL), 0);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    compare_all();
}

static void compare_in_child(void (*change)(void))
{
    pid_t child = fork();

    if (child == 0) {
        compare_all();
        change();
        compare_all();
        _exit(7);
    }
    CHECK_EQ(status_of(child), 7 << 8);
    compare_all();
}

static void change_name(void)
{
    prctl(PR_SET_NAME, ") S 1 2 3");
}

static void change_user(void)
{
    CHECK_EQ(setresgid(11, 12, 13), 0);
    CHECK_EQ(setresuid(21, 22, 23), 0);
    prctl(PR_SET_DUMPABLE, 1);
}

static void change_namespaces(void)
{
    if (unshare(CLONE_NEWUTS | CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWCGROUP) < 0)
        return;
    CHECK_EQ(sethostname("elsewhere", 9), 0);
}

VICTIM(fields_are_the_kernels_after_changes)
{
    load_both();
    compare_in_child(change_name);
    compare_in_child(change_namespaces);
    compare_in_child(change_user);
}

VICTIM(fields_are_the_kernels_in_orphans)
{
    int ends[2];
    char byte = 'n';
    pid_t child;

    load_both();
    CHECK_EQ(pipe(ends), 0);
    child = fork();
    if (child == 0) {
        pid_t parent = getpid();

        if (fork() == 0) {
            while (getppid() == parent)
                sleep_ms(1);
            compare_all();
            CHECK_EQ(write(ends[1], "y", 1), 1);
            _exit(0);
        }
        _exit(0);
    }
    CHECK_EQ(status_of(child), 0);
    close(ends[1]);
    CHECK_EQ(read(ends[0], &byte, 1), 1);
    CHECK_EQ(byte, 'y');
}

/* While the transformer is installed, namespaces and start times are kept until they change. */
static void *compare_twice(void *unused)
{
    getppid(); /* a callback: from here on this thread keeps what it knows */
    compare_all();
    compare_all();
    change_namespaces();
    compare_all();
    change_namespaces();
    compare_all();
    return unused;
}

VICTIM(what_is_kept_is_forgotten_when_it_changes)
{
    struct sta *sta = new_registry();
    pthread_t thread;
    pid_t child;

    load_both();
    count_calls(sta, SYS_getppid);
    install(sta);
    CHECK(atomic_load(&sta__interceptions) & 1);
    compare_twice(NULL);
    CHECK_EQ(pthread_create(&thread, NULL, compare_twice, NULL), 0);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    compare_in_child(change_namespaces);
    child = vfork();
    if (child == 0) {
        compare_twice(NULL);
        _exit(7);
    }
    CHECK_EQ(status_of(child), 7 << 8);
    compare_all();
    remove_transformer(sta);
    change_namespaces();
    compare_all();
    install(sta);
    compare_all();
    sta_free(sta);
}

/* ---- without the kernel ---- */

static uint64_t chain(const int *fields, unsigned count, uint64_t size)
{
    uint64_t value = 0;

    run_ours(fields, count, size);
    memcpy(&value, our_asked->value, size < 8 ? size : 8);
    return value;
}

#define OURS(size, ...) \
    chain((const int[]){__VA_ARGS__}, sizeof((const int[]){__VA_ARGS__}) / sizeof(int), size)

VICTIM(fields_are_what_the_process_knows_itself)
{
    struct utsname names;

    load_ours();
    CHECK_EQ(OURS(4, F(PID)), gettid());
    CHECK_EQ(OURS(4, F(TGID)), getpid());
    CHECK_EQ(OURS(4, F(REAL_PARENT), F(TGID)), getppid());
    CHECK_EQ(OURS(4, F(CRED), F(EUID)), geteuid());
    CHECK_EQ(OURS(4, F(CRED), F(FSGID)), getegid());
    CHECK_EQ(uname(&names), 0);
    OURS(390, F(NSPROXY), F(NSPROXY_UTS), F(UTS_NAME));
    CHECK(memcmp(our_asked->value, &names, 390) == 0);
}

static int64_t read_at(uint64_t address, void *to, uint64_t size)
{
    return (int64_t)sta__helper_probe_read_kernel((uintptr_t)to, size, address, 0, 0);
}

/* What nobody knows is zero, also around fields; what is no object cannot be read. */
VICTIM(the_rest_of_the_image_is_zeros)
{
    uint64_t task = sta__task_address(sta__task_self(), STA__TASK_TASK);
    uint32_t pid = sta__task_offsets[STA__FIELD_PID];
    uint8_t bytes[4096], around[16];

    load_ours();
    pid = sta__task_offsets[STA__FIELD_PID];
    memset(bytes, 0xaa, sizeof(bytes));
    CHECK_EQ(read_at(task + 0x10000 - sizeof(bytes), bytes, sizeof(bytes)), 0);
    for (size_t i = 0; i < sizeof(bytes); i++)
        CHECK_EQ(bytes[i], 0);
    /* The pid's upper bytes and the tgid's lower ones. */
    CHECK_EQ(read_at(task + pid + 2, around, 4), 0);
    CHECK_EQ(*(uint16_t *)around, (uint32_t)gettid() >> 16);
    CHECK_EQ(*(uint16_t *)(around + 2), getpid() & 0xffff);
    CHECK_EQ(read_at(task + 0x10000 - 4, around, 8), -EFAULT);
    CHECK_EQ(read_at(task + 0x3fff0, around, 8), -EFAULT);
    CHECK_EQ(read_at(STA__TASK_BASE - 8, around, 8), -EFAULT);
    CHECK_EQ(read_at(STA__TASK_BASE + STA__TASK_SPAN, around, 8), -EFAULT);
    CHECK_EQ(read_at(STA__TASK_BASE + STA__TASK_SPAN - 4, around, 8), -EFAULT);
}

VICTIM(names_are_read_as_strings)
{
    uint64_t comm = sta__task_address(sta__task_self(), STA__TASK_TASK);
    char name[32];

    load_ours();
    comm += sta__task_offsets[STA__FIELD_COMM];
    prctl(PR_SET_NAME, "fifteen letters");
    for (size_t size = 0; size <= sizeof(name); size++) {
        size_t wanted = size < 16 ? size : 16;

        memset(name, 'x', sizeof(name));
        CHECK_EQ(sta__helper_probe_read_kernel_str((uintptr_t)name, size, comm, 0, 0), wanted);
        CHECK(size == 0 || strncmp(name, "fifteen letters", wanted - 1) == 0);
        CHECK(size == 0 || name[wanted - 1] == '\0');
        CHECK(size == sizeof(name) || name[size] == 'x');
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields_are_the_kernels),
        cmocka_unit_test(fields_are_the_kernels_in_threads),
        cmocka_unit_test(fields_are_the_kernels_after_changes),
        cmocka_unit_test(fields_are_the_kernels_in_orphans),
        cmocka_unit_test(what_is_kept_is_forgotten_when_it_changes),
        cmocka_unit_test(fields_are_what_the_process_knows_itself),
        cmocka_unit_test(the_rest_of_the_image_is_zeros),
        cmocka_unit_test(names_are_read_as_strings),
    };

    return run_interception_tests(argc, argv, tests);
}
