/* SPDX-License-Identifier: MIT */
/*
 * User stacks and registers, against the kernel's: the same program sees the same of the same
 * calls.
 */
#include "intercept.h"

#include <asm/ptrace.h>
#include <linux/bpf.h>

#include "ebpf/isa.h"
#include "kernel_map.h"
#include "maps/map.h"
#include "vm/kernel_bpf.h"

#define CALL_NR  470 /* nobody else makes it: ENOSYS */
#define ROOM     (130 * 8)
#define MAP_DATA 0
#define MAP_IDS  1

#define I(name, d, s, o, i) \
    ((struct bpf_insn){     \
        .code = STA__OP_##name, .dst_reg = (d), .src_reg = (s), .off = (o), .imm = (int32_t)(i)})

/* What the program finds in its map, and leaves there. */
struct asked {
    uint64_t flags, size; /* of get_stack */
    uint64_t id_flags;
    int64_t result, id;
    uint64_t runs;
    uint8_t bytes[ROOM];
};

static struct sta_map *our_maps[2];
static struct asked *kernel_asked, *our_asked;
static int kernel_ids;

static int find_map(void *data, int fd, int is_index, struct sta_map **out)
{
    (void)data, (void)is_index;
    *out = our_maps[fd];
    return 0;
}

/* A raw tracepoint's program: if (call == CALL_NR) { both helpers }. */
static size_t write_program(struct bpf_insn *insns, int data)
{
    const struct bpf_insn program[] = {
        I(MOV64X, 7, 1, 0, 0),
        I(LDXDW, 1, 7, 8, 0),
        I(JNE64K, 1, 0, 21, CALL_NR),
        {.code = BPF_LD | BPF_IMM | BPF_DW,
         .dst_reg = 6,
         .src_reg = BPF_PSEUDO_MAP_VALUE,
         .imm = data},
        {0},
        I(LDXDW, 1, 6, offsetof(struct asked, runs), 0),
        I(ADD64K, 1, 0, 0, 1),
        I(STXDW, 6, 1, offsetof(struct asked, runs), 0),
        I(MOV64X, 1, 7, 0, 0),
        I(MOV64X, 2, 6, 0, 0),
        I(ADD64K, 2, 0, 0, offsetof(struct asked, bytes)),
        I(LDXDW, 3, 6, offsetof(struct asked, size), 0),
        I(JGT64K, 3, 0, 11, ROOM),
        I(LDXDW, 4, 6, offsetof(struct asked, flags), 0),
        I(CALL, 0, 0, 0, BPF_FUNC_get_stack),
        I(STXDW, 6, 0, offsetof(struct asked, result), 0),
        I(MOV64X, 1, 7, 0, 0),
        {.code = BPF_LD | BPF_IMM | BPF_DW,
         .dst_reg = 2,
         .src_reg = BPF_PSEUDO_MAP_FD,
         .imm = data == MAP_DATA ? MAP_IDS : kernel_ids},
        {0},
        I(LDXDW, 3, 6, offsetof(struct asked, id_flags), 0),
        I(CALL, 0, 0, 0, BPF_FUNC_get_stackid),
        I(STXDW, 6, 0, offsetof(struct asked, id), 0),
        I(MOV64K, 0, 0, 0, 0),
        I(EXIT, 0, 0, 0, 0),
        I(MOV64K, 0, 0, 0, 0),
        I(EXIT, 0, 0, 0, 0),
    };

    memcpy(insns, program, sizeof(program));
    return COUNT_OF(program);
}

/* ---- calls from known places ---- */

__attribute__((noinline)) static long call_from_depth(int depth)
{
    long result = depth > 0 ? call_from_depth(depth - 1) : syscall(CALL_NR);

    __asm__ volatile("" : "+r"(result)); /* no tail call */
    return result;
}

static void ask(struct asked *asked, uint64_t flags, uint64_t size, uint64_t id_flags)
{
    asked->flags = flags;
    asked->size = size;
    asked->id_flags = id_flags;
    asked->result = asked->id = 12345;
    memset(asked->bytes, 0xaa, sizeof(asked->bytes));
}

/* ---- the kernel ---- */

static const struct sta_map_options ids_options = {.size = sizeof(ids_options),
                                                   .type = BPF_MAP_TYPE_STACK_TRACE,
                                                   .key_size = 4,
                                                   .value_size = 127 * 8,
                                                   .max_entries = 64};

/* Attaches the program; what keeps it attached. */
static int attach_in_kernel(size_t (*write)(struct bpf_insn *insns, int data))
{
    struct bpf_insn insns[32];
    union bpf_attr attr;
    void *value;
    int data = kernel_array(sizeof(struct asked), &value), program, link;
    char log[4096];

    if (data == -EPERM)
        victim_skip("no bpf(2) here");
    CHECK(data >= 0);
    kernel_asked = value;
    kernel_ids = kernel_map_create(&ids_options);
    CHECK(kernel_ids >= 0);
    program =
        kernel_load(BPF_PROG_TYPE_RAW_TRACEPOINT, insns, write(insns, data), log, sizeof(log));
    if (program < 0)
        victim_failed("the kernel does not load it: %s", log);
    memset(&attr, 0, sizeof(attr));
    attr.raw_tracepoint.name = (uintptr_t) "sys_enter";
    attr.raw_tracepoint.prog_fd = (uint32_t)program;
    link = kernel_bpf(BPF_RAW_TRACEPOINT_OPEN, &attr);
    if (link < 0)
        victim_skip("no raw tracepoint here");
    return link;
}

/* ---- ours ---- */

static struct sta *install_ours(size_t (*write)(struct bpf_insn *insns, int data))
{
    const struct sta_map_options data_options = {.size = sizeof(data_options),
                                                 .type = BPF_MAP_TYPE_ARRAY,
                                                 .key_size = 4,
                                                 .value_size = sizeof(struct asked),
                                                 .max_entries = 1};
    const struct sta_program_options how = {.size = sizeof(how),
                                            .type = BPF_PROG_TYPE_RAW_TRACEPOINT,
                                            .find_map = find_map,
                                            .log = log_to_stderr};
    const struct sta_target all = {STA_ALL_SYSCALLS, true};
    struct sta *sta = new_registry();
    struct sta_program *program;
    struct bpf_insn insns[32];

    CHECK_EQ(sta_map_create(&our_maps[MAP_DATA], &data_options), 0);
    CHECK_EQ(sta_map_create(&our_maps[MAP_IDS], &ids_options), 0);
    our_asked = our_maps[MAP_DATA]->values;
    CHECK_EQ(sta_program_load(&program, insns, write(insns, MAP_DATA), &how), 0);
    CHECK(sta_attach_program(sta, &all, program) > 0);
    install(sta);
    return sta;
}

/* ---- comparing ---- */

struct question {
    int depth;
    uint64_t flags, size, id_flags;
};

#define USER  BPF_F_USER_STACK
#define REUSE BPF_F_REUSE_STACKID /* so that it does not matter which numbers traces have */

static const struct question questions[] = {
    {0, USER, 1040, USER | REUSE},
    {1, USER, 1016, USER | REUSE},
    {5, USER, 1016, USER | REUSE},
    {5, USER, 1016, USER}, /* the same once more */
    {5, USER, 1016, USER | BPF_F_FAST_STACK_CMP},
    {5, USER | 1, 1016, USER | REUSE | 1},
    {5, USER | 3, 24, USER | REUSE | 3},
    {5, USER | 200, 24, USER | 200},
    {5, USER | 255, 1016, USER | 255},
    {60, USER, 1016, USER | REUSE},
    {200, USER, 1016, USER | REUSE},
    {200, USER | 20, 1016, USER | REUSE | 20},
    {200, USER | 120, 1016, USER | REUSE | 120},
    {200, USER | 126, 1016, USER | REUSE | 126},
    {200, USER | 127, 1016, USER | 127},
    {200, USER | 128, 1016, USER | 128},
    {5, USER, 0, USER | REUSE},
    {5, USER, 8, USER | REUSE},
    {5, USER, 7, USER | REUSE},
    {5, USER, 12, USER | REUSE},
    {5, USER | 1ull << 40, 64, USER | 1ull << 40},
    {5, BPF_F_USER_BUILD_ID, 64, BPF_F_USER_BUILD_ID},
    {5, USER | BPF_F_USER_BUILD_ID, 33, 0x1000},
};

#define QUESTIONS COUNT_OF(questions)

struct answer {
    struct asked asked;
    uint64_t trace[127]; /* by its id */
    int found;
};

static struct answer in_kernel[QUESTIONS], in_ours[QUESTIONS];

/* Both worlds call from here, so that all addresses are the same. */
__attribute__((noinline)) static void ask_all(struct asked *asked, struct answer *answers,
                                              int (*find)(int64_t id, uint64_t *trace))
{
    for (size_t i = 0; i < QUESTIONS; i++) {
        const struct question *q = &questions[i];
        uint64_t runs = asked->runs;

        ask(asked, q->flags, q->size, q->id_flags);
        call_from_depth(q->depth);
        CHECK_EQ(asked->runs, runs + 1);
        answers[i].asked = *asked;
        if (asked->id >= 0)
            answers[i].found = find(asked->id, answers[i].trace);
    }
}

static int find_in_kernel(int64_t id, uint64_t *trace)
{
    uint32_t key = (uint32_t)id;

    return kernel_map_element(BPF_MAP_LOOKUP_ELEM, kernel_ids, &key, trace, 0);
}

static int find_in_ours(int64_t id, uint64_t *trace)
{
    uint32_t key = (uint32_t)id;

    return sta_map_lookup(our_maps[MAP_IDS], &key, trace, 0);
}

static const struct world {
    struct asked **asked;
    struct answer *answers;
    int (*find)(int64_t id, uint64_t *trace);
} worlds[] = {{&kernel_asked, in_kernel, find_in_kernel}, {&our_asked, in_ours, find_in_ours}};

/* The compiler does not know which, so that it makes one call for both, whose address is in the
 * frames. */
static const struct world *world_of(int i)
{
    const struct world *world = &worlds[i];

    __asm__ volatile("" : "+r"(world));
    return world;
}

/* Which number a trace has is not the same; that it is one is. */
static int64_t sign(int64_t id)
{
    return id < 0 ? id : 0;
}

static bool are_same(const struct answer *ours, const struct answer *kernel)
{
    return ours->asked.result == kernel->asked.result &&
           sign(ours->asked.id) == sign(kernel->asked.id) &&
           memcmp(ours->asked.bytes, kernel->asked.bytes, ROOM) == 0 &&
           ours->found == kernel->found &&
           memcmp(ours->trace, kernel->trace, sizeof(ours->trace)) == 0;
}

static void print_answer(const char *who, const struct answer *answer)
{
    const uint64_t *addresses = (const uint64_t *)answer->asked.bytes;

    fprintf(stderr, "%s: %lld, id %lld:", who, (long long)answer->asked.result,
            (long long)answer->asked.id);
    for (int64_t i = 0; i < answer->asked.result / 8 && i < 20; i++)
        fprintf(stderr, " %llx", (unsigned long long)addresses[i]);
    fprintf(stderr, "\n");
}

VICTIM(stacks_are_the_kernels)
{
    int link = attach_in_kernel(write_program), traces = 0;
    struct sta *sta = NULL;

    for (volatile int i = 0; i < 2; i++) {
        const struct world *world = world_of(i);

        ask_all(*world->asked, world->answers, world->find);
        if (i == 0) {
            close(link);
            sta = install_ours(write_program);
        }
    }
    for (size_t i = 0; i < QUESTIONS; i++) {
        traces += in_kernel[i].asked.id >= 0;
        if (are_same(&in_ours[i], &in_kernel[i]))
            continue;
        print_answer("kernel", &in_kernel[i]);
        print_answer("ours", &in_ours[i]);
        victim_failed("question %zu: depth %d, flags %llx, size %llu: not the same", i,
                      questions[i].depth, (unsigned long long)questions[i].flags,
                      (unsigned long long)questions[i].size);
    }
    CHECK(traces > 5);
    CHECK(in_ours[10].asked.result == 1016);
    sta_free(sta);
}

/* ---- registers ---- */

/* if (call == CALL_NR) { the struct pt_regs } */
static size_t write_reading(struct bpf_insn *insns, int data)
{
    const struct bpf_insn program[] = {
        I(LDXDW, 2, 1, 8, 0),
        I(JNE64K, 2, 0, 8, CALL_NR),
        I(LDXDW, 3, 1, 0, 0),
        {.code = BPF_LD | BPF_IMM | BPF_DW,
         .dst_reg = 6,
         .src_reg = BPF_PSEUDO_MAP_VALUE,
         .imm = data},
        {0},
        I(MOV64X, 1, 6, 0, 0),
        I(ADD64K, 1, 0, 0, offsetof(struct asked, bytes)),
        I(MOV64K, 2, 0, 0, sizeof(struct pt_regs)),
        I(CALL, 0, 0, 0, BPF_FUNC_probe_read_kernel),
        I(STXDW, 6, 0, offsetof(struct asked, result), 0),
        I(MOV64K, 0, 0, 0, 0),
        I(EXIT, 0, 0, 0, 0),
    };

    memcpy(insns, program, sizeof(program));
    return COUNT_OF(program);
}

__attribute__((noinline)) static struct pt_regs registers_of_call(struct asked *asked)
{
    struct pt_regs regs;

    asked->result = 12345;
    syscall(CALL_NR, 1, 2, 3, 4, 5, 6);
    CHECK_EQ(asked->result, 0);
    memcpy(&regs, asked->bytes, sizeof(regs));
    regs.rbx = regs.r12 = regs.r13 = regs.r14 = regs.r15 = 0; /* not known here */
    return regs;
}

VICTIM(registers_are_the_kernels)
{
    struct pt_regs regs[2];
    struct sta *sta = NULL;
    int link = attach_in_kernel(write_reading);

    for (volatile int i = 0; i < 2; i++) {
        regs[i] = registers_of_call(*world_of(i)->asked);
        if (i == 0) {
            close(link);
            sta = install_ours(write_reading);
        }
    }
    CHECK_EQ(regs[1].rip, regs[0].rip);
    CHECK_EQ(regs[1].rsp, regs[0].rsp);
    CHECK_EQ(regs[1].rbp, regs[0].rbp);
    CHECK_EQ(regs[1].eflags, regs[0].eflags);
    CHECK(memcmp(&regs[1], &regs[0], sizeof(regs[0])) == 0);
    sta_free(sta);
}

/* Without frame pointers to follow: what is in rbp is anything. */
static long call_with_frame_pointer(uint64_t frame_pointer)
{
    long result;

    __asm__ volatile(
        "push %%rbp\n\t"
        "mov %[fp], %%rbp\n\t"
        "mov %[function], %%rax\n\t"
        "mov %[nr], %%edi\n\t"
        "call *%%rax\n\t"
        "pop %%rbp\n\t"
        : "=&a"(result)
        : [fp] "r"(frame_pointer), [function] "r"((long (*)(long, ...))syscall), [nr] "i"(CALL_NR)
        : "rdi", "rsi", "rdx", "rcx", "r8", "r9", "r10", "r11", "memory", "cc");
    return result;
}

VICTIM(frame_pointers_that_lead_nowhere_end_the_stack)
{
    static const uint64_t nowhere[] = {
        0, 1, 8, 0xdead00000000beef, 0xffffffff81000000, -8ull, 0x7ffffffff000 - 8};
    static uint64_t loop[2];
    struct sta *sta = install_ours(write_program);

    for (size_t i = 0; i < COUNT_OF(nowhere); i++) {
        ask(our_asked, USER, 80, USER);
        call_with_frame_pointer(nowhere[i]);
        CHECK_EQ(our_asked->result, 8);
        CHECK(our_asked->id >= 0);
    }
    loop[0] = (uintptr_t)loop;
    loop[1] = 0x77;
    ask(our_asked, USER, 80, USER);
    call_with_frame_pointer((uintptr_t)loop);
    CHECK_EQ(our_asked->result, 80);
    CHECK_EQ(((uint64_t *)our_asked->bytes)[9], 0x77);
    sta_free(sta);
}

/* No build id is known: each element has the address. */
VICTIM(build_ids_are_addresses)
{
    struct sta *sta = install_ours(write_program);
    const struct bpf_stack_build_id *ids = (const void *)our_asked->bytes;
    uint64_t addresses[16];

    ask(our_asked, USER, 64, USER);
    for (int i = 0; i < 2; i++) {
        call_from_depth(20);
        if (i == 0) {
            CHECK_EQ(our_asked->result, 64);
            memcpy(addresses, our_asked->bytes, 64);
            ask(our_asked, USER | BPF_F_USER_BUILD_ID, 8 * sizeof(*ids), USER);
        }
    }
    CHECK_EQ(our_asked->result, 8 * sizeof(*ids));
    for (int i = 0; i < 8; i++) {
        CHECK_EQ(ids[i].status, BPF_STACK_BUILD_ID_IP);
        CHECK_EQ(ids[i].ip, addresses[i]);
    }
    sta_free(sta);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stacks_are_the_kernels),
        cmocka_unit_test(registers_are_the_kernels),
        cmocka_unit_test(frame_pointers_that_lead_nowhere_end_the_stack),
        cmocka_unit_test(build_ids_are_addresses),
    };

    return run_interception_tests(argc, argv, tests);
}
