/* SPDX-License-Identifier: MIT */
/*
 * The helpers that read, against the kernel's: the same program with the same addresses, sizes and
 * memory gives the same result and leaves the same bytes.
 */
#include "reads.h"

#include "maps/map.h"
#include "vm/build.h"
#include "vm/kernel_bpf.h"

#define SIZE_MAX_ASKED 500

/* What the program finds in its map, and leaves there. */
struct asked {
    uint64_t address, size;
    int64_t result;
    uint8_t bytes[READ_MAX];
};

static struct sta_map *our_map;

static int find_map(void *data, int fd, int is_index, struct sta_map **out)
{
    (void)data, (void)fd, (void)is_index;
    *out = our_map;
    return 0;
}

static size_t write_program(struct bpf_insn *insns, int helper, int map)
{
    const struct bpf_insn program[] = {
        {.code = BPF_LD | BPF_IMM | BPF_DW,
         .dst_reg = 6,
         .src_reg = BPF_PSEUDO_MAP_VALUE,
         .imm = map},
        {0},
        I(MOV64X, 1, 6, 0, 0),
        I(ADD64K, 1, 0, 0, offsetof(struct asked, bytes)),
        I(LDXDW, 2, 6, offsetof(struct asked, size), 0),
        I(JGT64K, 2, 0, 3, SIZE_MAX_ASKED),
        I(LDXDW, 3, 6, offsetof(struct asked, address), 0),
        I(CALL, 0, 0, 0, helper),
        I(STXDW, 6, 0, offsetof(struct asked, result), 0),
        I(MOV64K, 0, 0, 0, 0),
        I(EXIT, 0, 0, 0, 0),
    };

    memcpy(insns, program, sizeof(program));
    return COUNT_OF(program);
}

/* One helper, three ways: in the kernel, by the kernel's copying, by instructions. */
struct compared {
    const char *name;
    int helper;
    int kernel_program;
    struct asked *kernel_asked, *our_asked;
    struct sta_program *program;
    uint64_t hash;
    long count;
};

static void open_compared(struct compared *c)
{
    const struct sta_map_options options = {.size = sizeof(options),
                                            .type = BPF_MAP_TYPE_ARRAY,
                                            .key_size = 4,
                                            .value_size = sizeof(struct asked),
                                            .max_entries = 1};
    const struct sta_program_options how = {
        .size = sizeof(how), .find_map = find_map, .log = log_to_stderr};
    struct bpf_insn insns[16];
    void *value;
    int map = kernel_array(sizeof(struct asked), &value);

    if (map == -EPERM)
        victim_skip("no bpf(2) here");
    CHECK(map >= 0);
    c->kernel_asked = value;
    c->kernel_program = kernel_load(BPF_PROG_TYPE_RAW_TRACEPOINT, insns,
                                    write_program(insns, c->helper, map), NULL, 0);
    if (c->kernel_program < 0)
        victim_skip("the kernel does not load it");
    CHECK_EQ(sta_map_create(&our_map, &options), 0);
    c->our_asked = our_map->values;
    CHECK_EQ(sta_program_load(&c->program, insns, write_program(insns, c->helper, 0), &how), 0);
}

static void set_asked(struct asked *asked, uint64_t address, uint64_t size)
{
    asked->address = address;
    asked->size = size;
    asked->result = NOT_ASKED;
    memset(asked->bytes, 0xaa, sizeof(asked->bytes));
}

static void check_same(const struct compared *c, const char *how)
{
    const struct asked *kernel = c->kernel_asked, *ours = c->our_asked;

    if (ours->result != kernel->result)
        victim_failed("%s(%#llx, %llu) %s: %lld, in the kernel %lld", c->name,
                      (unsigned long long)kernel->address, (unsigned long long)kernel->size, how,
                      (long long)ours->result, (long long)kernel->result);
    for (size_t i = 0; i < READ_MAX; i++) {
        if (ours->bytes[i] != kernel->bytes[i])
            victim_failed("%s(%#llx, %llu) %s: byte %zu is %02x, in the kernel %02x (result %lld)",
                          c->name, (unsigned long long)kernel->address,
                          (unsigned long long)kernel->size, how, i, ours->bytes[i],
                          kernel->bytes[i], (long long)kernel->result);
    }
}

static int run_program(void *ctx, size_t ctx_size, uint64_t *ret, void *user_data)
{
    return sta_program_run(user_data, ctx, ctx_size, ret);
}

static void compare(struct compared *c, uint64_t address, uint64_t size)
{
    uint64_t ret;

    set_asked(c->kernel_asked, address, size);
    CHECK_EQ(kernel_run(c->kernel_program), 0);
    set_asked(c->our_asked, address, size);
    CHECK_EQ(sta_program_run(c->program, NULL, 0, &ret), 0);
    check_same(c, "outside of calls");
    set_asked(c->our_asked, address, size);
    getppid();
    check_same(c, "in a call");
    c->count++;
}

static void compare_around(struct compared *c, uint64_t address)
{
    static const int distances[] = {-600, -129, -64, -33, -17, -16, -9, -8, -7, -1, 0, 1, 8};
    static const int sizes[] = {0, 1, 2, 7, 8, 9, 15, 16, 17, 31, 63, 64, 65, 128, 257, 500};

    for (size_t i = 0; i < COUNT_OF(distances); i++) {
        for (size_t k = 0; k < COUNT_OF(sizes); k++)
            compare(c, address + (uint64_t)(int64_t)distances[i], (uint64_t)sizes[k]);
    }
}

/* Strings of each length, ending at the edge and before it. */
static void compare_strings(struct compared *c, const struct edge *edge)
{
    for (size_t length = 0; length < 40; length++) {
        for (size_t behind = 0; behind < 20; behind++) {
            char *end = edge->end - 1 - behind;

            *end = 0;
            for (size_t size = 0; size < 48; size += 1 + size / 9)
                compare(c, (uintptr_t)end - length, size);
            *end = 'x';
        }
    }
}

/* A helper for the tracepoint's address space and for the kernel's; both are given all. */
static void compare_helper(const char *name, int helper)
{
    struct compared c = {.name = name, .helper = helper};
    struct edge gone, none = make_edge(PROT_NONE);
    struct sta *sta = new_registry();

    open_compared(&c);
    attach(sta, SYS_getppid, true, run_program, c.program);
    install(sta);
    gone = make_edge(-1); /* nothing is mapped from here on */
    compare_around(&c, (uintptr_t)gone.end);
    compare_around(&c, (uintptr_t)none.end);
    compare_around(&c, 0);
    compare_around(&c, 4096);
    compare_around(&c, 0x7ffffffff000);
    compare_around(&c, 1ull << 47);
    compare_around(&c, 1ull << 56);
    compare_around(&c, 1ull << 63);
    compare_around(&c, 0xffff800000000000);
    compare_around(&c, 0xffffffffff600000);
    compare_around(&c, 0xffffffffff601000);
    compare_strings(&c, &gone);
    compare_strings(&c, &none);
    CHECK(c.count > 1000);
    sta_free(sta);
}

#define COMPARED(helper)                            \
    VICTIM(helper##_is_as_in_the_kernel)            \
    {                                               \
        compare_helper(#helper, BPF_FUNC_##helper); \
    }

COMPARED(probe_read)
COMPARED(probe_read_str)
COMPARED(probe_read_user)
COMPARED(probe_read_user_str)
COMPARED(probe_read_kernel)
COMPARED(probe_read_kernel_str)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(probe_read_is_as_in_the_kernel),
        cmocka_unit_test(probe_read_str_is_as_in_the_kernel),
        cmocka_unit_test(probe_read_user_is_as_in_the_kernel),
        cmocka_unit_test(probe_read_user_str_is_as_in_the_kernel),
        cmocka_unit_test(probe_read_kernel_is_as_in_the_kernel),
        cmocka_unit_test(probe_read_kernel_str_is_as_in_the_kernel),
    };

    return run_interception_tests(argc, argv, tests);
}
