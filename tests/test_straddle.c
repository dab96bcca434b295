/* SPDX-License-Identifier: MIT */
/*
 * System call instructions in awkward places, and bytes that look like one: in this program's own
 * text, written by hand.
 */
#include "intercept.h"

#include "text.h"

#define CALLS 20

/*
 * Functions of type `long (long nr, long a2, long a3)`; name_site is the address of the bytes 0f
 * 05, or of the instruction that has them in it.
 */
#define FUNCTION(name, body) FUNCTION_ALIGNED(name, "6", body)
#define FUNCTION_ALIGNED(name, bits, body)             \
    long name(long, long, long);                       \
    extern const char name##_site[];                   \
    __asm__(".text\n"                                  \
            ".p2align " bits ", 0x90\n"                \
            ".globl " #name ", " #name "_site\n"       \
            ".type " #name ", @function\n" #name ":\n" \
            ".cfi_startproc\n" body ".cfi_endproc\n"   \
            ".size " #name ", . - " #name "\n")

/* `n` bytes of instructions that do nothing. */
#define FILL(n)    ".skip " #n ", 0x90\n"
#define SITE(name) #name "_site: syscall\n"

/* Across the end of a cache line, or of a page: the instruction, or the mov before it. */
FUNCTION(in_one_line, "mov $110, %eax\n" SITE(in_one_line) "ret\n");
FUNCTION(across_lines, FILL(58) "mov $110, %eax\n" SITE(across_lines) "ret\n");
FUNCTION(mov_across_lines, FILL(61) "mov $110, %eax\n" SITE(mov_across_lines) "ret\n");
FUNCTION(between_lines, FILL(59) "mov $110, %eax\n" SITE(between_lines) "ret\n");
FUNCTION_ALIGNED(across_pages, "12", FILL(4090) "mov $110, %eax\n" SITE(across_pages) "ret\n");
FUNCTION_ALIGNED(mov_across_pages, "12",
                 FILL(4093) "mov $110, %eax\n" SITE(mov_across_pages) "ret\n");
FUNCTION_ALIGNED(between_pages, "12", FILL(4091) "mov $110, %eax\n" SITE(between_pages) "ret\n");
FUNCTION(unknown_across_lines, FILL(61) "mov %edi, %eax\n" SITE(unknown_across_lines) "ret\n");
FUNCTION_ALIGNED(unknown_across_pages, "12",
                 FILL(4093) "mov %edi, %eax\n" SITE(unknown_across_pages) "ret\n");

/* The number comes in other ways. */
FUNCTION(from_register, "mov %edi, %eax\n" SITE(from_register) "ret\n");
FUNCTION(from_memory, "mov number_110(%rip), %eax\n" SITE(from_memory) "ret\n"
                                                                       "number_110: .long 110\n");
FUNCTION(by_push, "push $110\n.cfi_adjust_cfa_offset 8\npop %rax\n.cfi_adjust_cfa_offset -8\n" SITE(
                      by_push) "ret\n");
FUNCTION(by_long_mov, "mov $110, %rax\n" SITE(by_long_mov) "ret\n");
FUNCTION(by_two, "xor %eax, %eax\n"
                 "mov $110, %al\n" SITE(by_two) "ret\n");
FUNCTION(mov_early, "mov $110, %eax\n"
                    "mov %edi, %ecx\n"
                    "add %esi, %ecx\n"
                    "lea 1(%rcx), %r10\n" SITE(mov_early) "ret\n");
FUNCTION(zeroed, "xor %eax, %eax\n" SITE(zeroed) "ret\n");

/* Something jumps to the instruction, past the mov; or back to the mov. */
FUNCTION(jumped_to, "mov %edi, %eax\n"
                    "cmp $110, %edi\n"
                    "jne jumped_to_site\n"
                    "mov $110, %eax\n" SITE(jumped_to) "ret\n");
FUNCTION(looping, "mov $3, %r8d\n"
                  "1: mov $110, %eax\n" SITE(looping) "dec %r8d\n"
                                                      "jnz 1b\n"
                                                      "ret\n");
/* Jumped to from behind, with the number set there. */
FUNCTION(retried, "mov $110, %eax\n" SITE(retried) "mov $110, %eax\n"
                                                   "dec %esi\n"
                                                   "jns retried_site\n"
                                                   "ret\n");

/* Nothing to spare: no padding in reach, no instruction before it that could be moved away. */
FUNCTION_ALIGNED(cramped, "0",
                 ".rept 100\nxor %eax, %eax\n.endr\n"
                 "jmp 1f\n"
                 ".rept 70\nxor %eax, %eax\n.endr\n"
                 "1: mov %edi, %eax\n" SITE(cramped) "ret\n"
                                                     ".rept 100\nxor %eax, %eax\n.endr\n");

/* The same, but for one instruction behind it that is long enough to take its place: for a jump of
 * five bytes; for one of two, to padding that only that one reaches. */
#define FUNCTION_CRAMPED(name, behind)                    \
    FUNCTION_ALIGNED(name, "0",                           \
                     ".rept 100\nxor %eax, %eax\n.endr\n" \
                     "jmp 1f\n"                           \
                     ".rept 70\nxor %eax, %eax\n.endr\n"  \
                     "1: mov %edi, %eax\n" SITE(name) behind ".rept 100\nxor %eax, %eax\n.endr\n")

FUNCTION_CRAMPED(displacing, "movabs $0x1122334455667788, %rdx\n"
                             "add %rdx, %rax\n"
                             "sub number_long(%rip), %rax\n"
                             "ret\n"
                             "number_long: .quad 0x1122334455667788\n");
FUNCTION_CRAMPED(displacing_near, "lea number_1(%rip), %rdx\n"
                                  ".rept 58\nxor %ecx, %ecx\n.endr\n"
                                  "add (%rdx), %rax\n"
                                  "dec %rax\n"
                                  "ret\n" FILL(5) "number_1: .quad 1\n");

/* Code without unwind data behind code that has some. */
long undescribed(long, long, long);
extern const char undescribed_site[];
__asm__(".text\n"
        ".type undescribed, @function\n"
        "undescribed:\n"
        "mov $110, %eax\n" SITE(undescribed) "ret\n"
                                             ".size undescribed, . - undescribed\n");

/* Not system calls. */
FUNCTION(immediate, "immediate_site: mov $0x050f050f, %eax\nret\n");
FUNCTION(long_immediate, "long_immediate_site: movabs $0x050f0102030f0506, %rax\nret\n");
FUNCTION(displacement, "displacement_site: lea 0x50f(%rdi), %rax\nret\n");
FUNCTION(distance, "distance_site: .byte 0xe9\n.long 0x50f\n"
                   ".skip 0x50f, 0xcc\n"
                   "mov $4711, %eax\n"
                   "ret\n");
/* 03 0f, 05 imm32: the bytes 0f 05 belong to one instruction each. */
FUNCTION(split, "lea number_8(%rip), %rdi\n"
                "mov $5, %ecx\n"
                "mov $1, %eax\n"
                "split_site: .byte 0x03, 0x0f, 0x05, 0x20, 0, 0, 0\n"
                "add %ecx, %eax\n"
                "ret\n"
                "number_8: .long 8\n");
/* Data in text, as assembler programmers put it there: tables behind a function. */
FUNCTION(data, "mov data_site(%rip), %eax\n"
               "add data_site+64(%rip), %eax\n"
               "ret\n");
__asm__(".p2align 6\n"
        "data_site: .long 0x0000050f, 0, 0x0000050f, 0, 0x050f0000, 0, 0, 0\n"
        ".skip 32, 0\n"
        ".long 0x00000f05, 0x0f050000, 0x0000000f, 0x00000005\n"
        ".p2align 6\n");

struct site {
    const char *name;
    long (*call)(long, long, long);
    const char *address;
    int made;        /* calls, each time */
    bool is_certain; /* that it can be rewritten */
};

#define A_SITE(name)                      \
    {                                     \
#        name, name, name##_site, 1, true \
    }
#define A_SITE_MADE(name, times)              \
    {                                         \
#        name, name, name##_site, times, true \
    }

static const struct site sites[] = {
    A_SITE(in_one_line),
    A_SITE(across_lines),
    A_SITE(mov_across_lines),
    A_SITE(between_lines),
    A_SITE(across_pages),
    A_SITE(mov_across_pages),
    A_SITE(between_pages),
    A_SITE(unknown_across_lines),
    A_SITE(unknown_across_pages),
    A_SITE(from_register),
    A_SITE(from_memory),
    A_SITE(by_push),
    A_SITE(by_long_mov),
    A_SITE(by_two),
    A_SITE(mov_early),
    A_SITE(jumped_to),
    A_SITE_MADE(looping, 3),
    A_SITE_MADE(retried, 3),
    A_SITE(cramped),
    A_SITE(displacing),
    A_SITE(displacing_near),
    {"undescribed", undescribed, undescribed_site, 1, false},
};

static void check_place(const char *name, const char *site, unsigned offset, unsigned size)
{
    if ((uintptr_t)site % size != offset)
        victim_failed("%s is at %p", name, (const void *)site);
}

VICTIM(they_are_where_they_should_be)
{
    check_place("across_lines", across_lines_site, 63, 64);
    check_place("mov_across_lines", mov_across_lines_site, 2, 64);
    check_place("between_lines", between_lines_site, 0, 64);
    check_place("across_pages", across_pages_site, 4095, 4096);
    check_place("mov_across_pages", mov_across_pages_site, 2, 4096);
    check_place("between_pages", between_pages_site, 0, 4096);
    check_place("unknown_across_lines", unknown_across_lines_site, 63, 64);
    check_place("unknown_across_pages", unknown_across_pages_site, 4095, 4096);
}

/* Whether calls from here reach the callbacks. */
static bool is_seen(struct sta *sta, const struct site *site)
{
    struct sta_transform_site found;

    if (is_by_sud(sta))
        return true;
    if (!text_find_site(sta, (uintptr_t)site->address, &found))
        victim_failed("the report has no site %s", site->name);
    if (getenv("STA_TEST_LOG"))
        fprintf(stderr, "%s: %s, %s\n", site->name, sta_site_method_name(found.method),
                sta_site_reason_text(found.reason));
    if (found.method == STA_SITE_LEFT && site->is_certain)
        victim_failed("%s is left alone: %s", site->name, sta_site_reason_text(found.reason));
    return found.method != STA_SITE_LEFT;
}

static void call_site(const struct site *site, int times)
{
    const long parent = STA__RAW0(SYS_getppid);

    for (int i = 0; i < times; i++) {
        long got = site->call(SYS_getppid, site->made - 1, 0);

        if (got != (site->call == retried ? SYS_getppid : parent))
            victim_failed("%s gives %ld", site->name, got);
    }
}

/* Attached to this call or to all, and after that. */
static void check_site(struct sta *sta, const struct site *site, int sys_nr)
{
    struct seen *seen = shared_memory(sizeof(*seen));
    int enter = attach(sta, sys_nr, true, count_enter, seen);
    int leave = attach(sta, sys_nr, false, count_exit, seen);
    long expected = is_seen(sta, site) ? (long)CALLS * site->made : 0;
    long before = seen->enters, enters, exits;

    exits = seen->exits;
    call_site(site, CALLS);
    enters = seen->enters - before;
    exits = seen->exits - exits;
    if (enters != expected || exits != expected)
        victim_failed("%s: %ld and %ld calls of %ld were seen", site->name, enters, exits,
                      expected);
    CHECK_EQ(sta_detach(sta, enter), 0);
    CHECK_EQ(sta_detach(sta, leave), 0);
    before = seen->enters;
    call_site(site, CALLS);
    CHECK_EQ(seen->enters, before);
}

VICTIM(each_is_seen_while_attached)
{
    struct sta *sta = new_registry();
    struct text *text = text_snapshot();

    install(sta);
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < COUNT_OF(sites); i++) {
            check_site(sta, &sites[i], SYS_getppid);
            check_site(sta, &sites[i], STA_ALL_SYSCALLS);
        }
    }
    remove_transformer(sta);
    text_check(text);
    for (size_t i = 0; i < COUNT_OF(sites); i++)
        call_site(&sites[i], 1);
}

static void check_method(struct sta *sta, const char *address, enum sta_site_method method)
{
    struct sta_transform_site found;

    CHECK(text_find_site(sta, (uintptr_t)address, &found));
    CHECK_EQ(found.method, method);
}

VICTIM(a_long_instruction_in_reach_spares_a_site_the_trap)
{
    struct sta *sta = new_registry();

    install(sta);
    if (is_by_sud(sta))
        return;
    check_method(sta, cramped_site, STA_SITE_TRAP);
    check_method(sta, displacing_site, STA_SITE_SHORT);
    check_method(sta, displacing_near_site, STA_SITE_SHORT);
}

VICTIM(a_number_zero_by_xor_is_read)
{
    struct seen *seen;
    struct sta *sta = installed_counting(SYS_read, &seen);
    int fd = open("/dev/zero", O_RDONLY);
    char bytes[2] = {1, 1};

    CHECK_EQ(zeroed(fd, (long)bytes, 1), 1);
    CHECK_EQ(bytes[0], 0);
    CHECK_EQ(bytes[1], 1);
    CHECK_EQ(seen->enters, 1);
    CHECK_EQ(seen->last_ret, 1);
    remove_transformer(sta);
    CHECK_EQ(zeroed(fd, (long)bytes, 2), 2);
    CHECK_EQ(seen->enters, 1);
}

VICTIM(a_call_that_is_jumped_to_has_the_number_that_it_has)
{
    struct sta *sta = new_registry();
    struct seen *getppids = count_calls(sta, SYS_getppid), *getuids = count_calls(sta, SYS_getuid);

    install(sta);
    CHECK_EQ(jumped_to(SYS_getuid, 0, 0), STA__RAW0(SYS_getuid));
    CHECK_EQ(getuids->enters, 1);
    CHECK_EQ(getppids->enters, 0);
    CHECK_EQ(jumped_to(SYS_getppid, 0, 0), STA__RAW0(SYS_getppid));
    CHECK_EQ(getuids->enters, 1);
    CHECK_EQ(getppids->enters, 1);
    for (int nr = 0; nr < 3; nr++) /* others meanwhile */
        from_register(SYS_getpid, 0, 0);
    CHECK_EQ(getuids->exits + getppids->exits, 2);
    remove_transformer(sta);
}

static void check_harmless(void)
{
    CHECK_EQ(immediate(0, 0, 0), 0x050f050f);
    CHECK_EQ(long_immediate(0, 0, 0), 0x050f0102030f0506);
    CHECK_EQ(displacement(1000, 0, 0), 1000 + 0x50f);
    CHECK_EQ(distance(0, 0, 0), 4711);
    CHECK_EQ(split(0, 0, 0), 1 + 0x20 + 5 + 8);
    CHECK_EQ(data(0, 0, 0), 0x050f + 0x0f05);
}

static void check_untouched(struct sta *sta, const struct text *text, const char *at)
{
    struct sta_transform_site site;

    for (uintptr_t address = (uintptr_t)at; address < (uintptr_t)at + 12; address++) {
        CHECK_EQ(*(const unsigned char *)address, text_byte(text, address));
        if (text_find_site(sta, address, &site))
            CHECK_EQ(site.method, STA_SITE_LEFT);
    }
}

VICTIM(bytes_that_look_like_a_call_are_left_alone)
{
    static const char *const places[] = {immediate_site, long_immediate_site, displacement_site,
                                         distance_site,  split_site,          data_site};
    struct sta *sta = new_registry();
    struct text *text = text_snapshot();

    check_harmless();
    count_calls(sta, STA_ALL_SYSCALLS);
    install(sta);
    check_harmless();
    for (size_t i = 0; i < COUNT_OF(places); i++)
        check_untouched(sta, text, places[i]);
    remove_transformer(sta);
    check_harmless();
}

/* Rewriting under the threads' feet */

static _Atomic bool stop;

static void *call_all_sites(void *unused)
{
    (void)unused;
    while (!atomic_load(&stop))
        for (size_t i = 0; i < COUNT_OF(sites); i++)
            call_site(&sites[i], 5);
    return NULL;
}

VICTIM(they_are_rewritten_while_threads_are_in_them)
{
    struct sta *sta = new_registry();
    struct seen *seen = shared_memory(sizeof(*seen));
    struct text *text = text_snapshot();
    const int rounds = UNDER_ASAN ? 60 : 160;
    pthread_t threads[4];

    for (size_t i = 0; i < COUNT_OF(threads); i++)
        CHECK_EQ(pthread_create(&threads[i], NULL, call_all_sites, NULL), 0);
    for (int round = 0; round < rounds; round++) {
        const int sys_nr = round % 3 ? SYS_getppid : STA_ALL_SYSCALLS;
        int id;

        if (round % 20 == 0)
            install(sta);
        id = attach(sta, sys_nr, round % 2, round % 2 ? count_enter : count_exit, seen);
        call_site(&sites[round % COUNT_OF(sites)], 1);
        CHECK_EQ(sta_detach(sta, id), 0);
        if (round % 20 == 19)
            remove_transformer(sta);
    }
    atomic_store(&stop, true);
    for (size_t i = 0; i < COUNT_OF(threads); i++)
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
    CHECK(seen->enters > 0 && seen->exits > 0);
    text_check(text);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(they_are_where_they_should_be),
        cmocka_unit_test(each_is_seen_while_attached),
        cmocka_unit_test(a_long_instruction_in_reach_spares_a_site_the_trap),
        cmocka_unit_test(a_number_zero_by_xor_is_read),
        cmocka_unit_test(a_call_that_is_jumped_to_has_the_number_that_it_has),
        cmocka_unit_test(bytes_that_look_like_a_call_are_left_alone),
        cmocka_unit_test(they_are_rewritten_while_threads_are_in_them),
    };

    return run_interception_tests(argc, argv, tests);
}
