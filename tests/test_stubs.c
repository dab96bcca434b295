/* SPDX-License-Identifier: MIT */
/*
 * Stubs, read as the processor reads them; and that what installing takes is taken once, however
 * often it happens.
 */
#define TEST_METHOD STA_METHOD_REWRITE
#include "intercept.h"

#include "base/pages.h"
#include "idler.h"
#include "mappings.h"
#include "transform/decode.h"
#include "transform/entry.h"
#include "transform/stubs.h"

/* The code of one page: mov $nr,%eax; syscall; and mov %rdi,%rax; syscall; nop. */
static uint8_t *make_code(void)
{
    static const uint8_t bytes[] = {0xb8, 39, 0, 0, 0, 0x0f, 0x05, 0xc3};
    uint8_t *code =
        mmap(NULL, STA__PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    CHECK(code != MAP_FAILED);
    for (size_t i = 0; i < STA__PAGE_SIZE; i += 16)
        memcpy(code + i, bytes, sizeof(bytes));
    return code;
}

/* All kinds of sites, by turns. */
static void make_sites(const uint8_t *code, struct sta__site *sites, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const uintptr_t at = (uintptr_t)code + 16 * i;
        const enum sta_site_method method = (enum sta_site_method)(i % STA_SITE_METHOD_COUNT);

        memset(&sites[i], 0, sizeof(sites[i]));
        sites[i].address = at + 5;
        sites[i].patch_at = method == STA_SITE_MOV || method == STA_SITE_DETOUR ? at : at + 5;
        sites[i].patch_size = method == STA_SITE_MOV || method == STA_SITE_DETOUR ? 5 : 2;
        sites[i].method = (uint8_t)method;
        sites[i].nr = method == STA_SITE_MOV || i % 2 ? 39 : STA__NR_UNKNOWN;
    }
}

/* What an instruction's rip-relative operand names, or its branch leads to. */
static uintptr_t operand(const struct sta__instruction *instruction, uintptr_t at)
{
    int32_t distance;

    memcpy(&distance, (const void *)(at + instruction->disp_offset), sizeof(distance));
    return at + instruction->length + (uintptr_t)distance;
}

static void read_bytes(uintptr_t *at, const void *bytes, size_t size)
{
    CHECK_EQ(memcmp((const void *)*at, bytes, size), 0);
    *at += size;
}

/* lea -128(%rsp),%rsp; lea resume(%rip),%rcx; call *slot(%rip); lea 128(%rsp),%rsp; jmp resume.
 * Returns what is called. */
static uintptr_t read_call(uintptr_t *at, uintptr_t resume)
{
    static const uint8_t lea[] = {0x48, 0x8d, 0x0d};
    struct sta__instruction instruction;
    uintptr_t slot;

    read_bytes(at, "\x48\x8d\x64\x24\x80", 5);
    CHECK(sta__decode(&instruction, (const uint8_t *)*at, 16) > 0);
    CHECK_EQ(memcmp((const void *)*at, lea, sizeof(lea)), 0);
    CHECK(instruction.rip_relative);
    CHECK_EQ(operand(&instruction, *at), resume);
    *at += instruction.length;
    CHECK(sta__decode(&instruction, (const uint8_t *)*at, 16) > 0);
    CHECK_EQ(memcmp((const void *)*at, "\xff\x15", 2), 0);
    slot = operand(&instruction, *at);
    *at += instruction.length;
    read_bytes(at, "\x48\x8d\xa4\x24\x80\0\0\0", 8);
    CHECK(sta__decode(&instruction, (const uint8_t *)*at, 16) > 0);
    CHECK_EQ(instruction.kind, STA__INSTRUCTION_JUMP);
    CHECK_EQ(*at + (uintptr_t)instruction.target, resume);
    *at += instruction.length;
    return *(const uintptr_t *)slot;
}

static void check_stub(const struct sta__site *site, uintptr_t at)
{
    struct sta__instruction instruction;
    const uintptr_t resume = site->address + 2;

    CHECK_EQ(at % 16, 0);
    if (site->patch_at != site->address) {
        CHECK(sta__decode(&instruction, (const uint8_t *)at, 16) > 0);
        CHECK_EQ(memcmp((const void *)at, (const void *)site->patch_at, 5), 0);
        at += instruction.length;
    }
    if (site->nr == STA__NR_UNKNOWN) {
        uintptr_t native = 0;

        for (int i = 0; i < 4; i++) {
            CHECK(sta__decode(&instruction, (const uint8_t *)at, 16) > 0);
            if (i == 1)
                CHECK_EQ(*(const uintptr_t *)operand(&instruction, at), sta__interest);
            at += instruction.length;
        }
        CHECK_EQ(instruction.kind, STA__INSTRUCTION_LOOP); /* jrcxz */
        native = at - instruction.length + (uintptr_t)instruction.target;
        CHECK_EQ(read_call(&at, resume), sta__entry);
        CHECK_EQ(at, native);
        CHECK_EQ(read_call(&at, resume), sta__native);
    } else {
        CHECK_EQ(read_call(&at, resume), sta__entry);
    }
}

#define SITES 200

static struct sta__site sites[SITES];
static struct sta__stub stubs[SITES], again[SITES];

static struct sta__stubs_order order_for(const uint8_t *code)
{
    make_sites(code, sites, SITES);
    return (struct sta__stubs_order){
        .start = (uintptr_t)code,
        .end = (uintptr_t)code + STA__PAGE_SIZE,
        .sites = sites,
        .count = SITES,
    };
}

static void check_reach(const struct sta__site *site, uintptr_t stub)
{
    intptr_t distance = (intptr_t)(stub - site->patch_at);

    CHECK(distance > INT32_MIN + 4096 && distance < INT32_MAX - 4096);
}

VICTIM(each_site_gets_a_stub_that_does_what_is_to_be_done)
{
    struct sta__stubs_order order = order_for(make_code());

    CHECK_EQ(sta__stubs_make(&order, stubs), 0);
    for (size_t i = 0; i < SITES; i++) {
        bool has_stub = sites[i].method == STA_SITE_MOV || sites[i].method == STA_SITE_SHORT ||
                        sites[i].method == STA_SITE_DETOUR;

        CHECK_EQ(stubs[i].address != 0, has_stub);
        if (!has_stub)
            continue;
        check_reach(&sites[i], stubs[i].address);
        check_stub(&sites[i], stubs[i].address);
    }
}

/* The analysed memory may be another one than that in which the code runs. */
VICTIM(stubs_are_made_for_where_the_code_runs)
{
    uint8_t *analysed = make_code();
    struct sta__stubs_order order = order_for(make_code());

    order.analysed = (intptr_t)((uintptr_t)analysed - order.start);
    memset((void *)order.start, 0xcc, STA__PAGE_SIZE); /* that is not what is read */
    CHECK_EQ(sta__stubs_make(&order, stubs), 0);
    memcpy((void *)order.start, analysed, STA__PAGE_SIZE);
    for (size_t i = 0; i < SITES; i++)
        if (stubs[i].address)
            check_stub(&sites[i], stubs[i].address);
}

VICTIM(stubs_for_the_same_code_are_used_again)
{
    uint8_t *code = make_code(), *other = make_code();
    struct sta__stubs_order order = order_for(code);
    unsigned before;

    CHECK_EQ(sta__stubs_make(&order, stubs), 0);
    order = order_for(other);
    CHECK_EQ(sta__stubs_make(&order, again), 0);
    CHECK(memcmp(stubs, again, sizeof(stubs)) != 0);
    before = count_mappings();
    for (int i = 0; i < 200; i++) {
        order = order_for(code);
        CHECK_EQ(sta__stubs_make(&order, again), 0);
        CHECK_EQ(memcmp(stubs, again, sizeof(stubs)), 0);
    }
    CHECK_EQ(count_mappings(), before);
    /* Other code at the same place. */
    sites[1].nr = STA__NR_UNKNOWN;
    CHECK_EQ(sta__stubs_make(&order, again), 0);
    CHECK(stubs[1].address != again[1].address);
    check_stub(&sites[1], again[1].address);
}

static uintptr_t page_of_stubs(const uint8_t *code)
{
    struct sta__stubs_order order = order_for(code);

    CHECK_EQ(sta__stubs_make(&order, stubs), 0);
    for (size_t i = 0; i < SITES; i++) {
        if (!stubs[i].address)
            continue;
        check_reach(&sites[i], stubs[i].address);
        check_stub(&sites[i], stubs[i].address);
    }
    return stubs[1].address & -STA__PAGE_SIZE;
}

/* Not, if a jump does not reach from one to the stubs of the other. */
VICTIM(stubs_of_neighbours_lie_in_one_mapping)
{
    uint8_t *codes[3] = {make_code(), make_code(), make_code()};
    uint8_t *far = codes[0] - ((size_t)16 << 30);
    unsigned before;
    uintptr_t first, last;

    first = page_of_stubs(codes[0]);
    before = count_mappings();
    CHECK(page_of_stubs(codes[1]) != first);
    last = page_of_stubs(codes[2]);
    CHECK(last != first);
    CHECK_EQ(count_mappings(), before);
    CHECK_EQ(mmap(far, STA__PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
             far);
    memcpy(far, codes[0], STA__PAGE_SIZE);
    page_of_stubs(far);
    CHECK_EQ(page_of_stubs(codes[0]), first);
    CHECK_EQ(page_of_stubs(codes[2]), last);
}

VICTIM(no_site_needs_no_memory_for_ever)
{
    struct sta__stubs_order order = order_for(make_code());
    unsigned before;

    order.count = 0;
    CHECK_EQ(sta__stubs_make(&order, stubs), 0);
    before = count_mappings();
    for (int i = 0; i < 100; i++)
        CHECK_EQ(sta__stubs_make(&order, stubs), 0);
    CHECK_EQ(count_mappings(), before);
}

/* Of the process as a whole */

static long status_kb(const char *name)
{
    FILE *status = fopen("/proc/self/status", "re");
    char line[256];
    long kb = -1;

    CHECK(status != NULL);
    while (fgets(line, sizeof(line), status))
        if (strncmp(line, name, strlen(name)) == 0)
            kb = strtol(line + strlen(name), NULL, 10);
    fclose(status);
    CHECK(kb >= 0);
    return kb;
}

static void install_and_remove(struct sta *sta, int times)
{
    struct seen *seen = shared_memory(sizeof(*seen));

    for (int i = 0; i < times; i++) {
        int id;

        install(sta);
        id = attach(sta, i % 2 ? SYS_getppid : STA_ALL_SYSCALLS, true, count_enter, seen);
        getppid();
        CHECK_EQ(sta_detach(sta, id), 0);
        remove_transformer(sta);
    }
    CHECK_EQ(seen->enters >= times, 1);
    munmap(seen, sizeof(*seen));
}

static void check_nothing_grows(int times)
{
    struct sta *sta = new_registry();
    unsigned mappings;
    long kb;
    int next;

    install_and_remove(sta, 20);
    mappings = count_mappings();
    kb = status_kb("VmRSS:");
    next = dup(0);
    close(next);
    install_and_remove(sta, times);
    CHECK_EQ(dup(0), next); /* no file is left open */
    if (count_mappings() > mappings + 8)
        victim_failed("%u mappings, were %u", count_mappings(), mappings);
    if (status_kb("VmRSS:") > kb + (UNDER_ASAN ? 4096 : 512))
        victim_failed("VmRSS is %ld kB, was %ld", status_kb("VmRSS:"), kb);
}

VICTIM(nothing_grows_over_two_hundred_installations)
{
    check_nothing_grows(200);
}

VICTIM(nothing_grows_with_another_thread_either)
{
    pthread_t thread = start_idler();

    check_nothing_grows(50);
    end_threads(&thread, 1);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_site_gets_a_stub_that_does_what_is_to_be_done),
        cmocka_unit_test(stubs_are_made_for_where_the_code_runs),
        cmocka_unit_test(stubs_for_the_same_code_are_used_again),
        cmocka_unit_test(stubs_of_neighbours_lie_in_one_mapping),
        cmocka_unit_test(no_site_needs_no_memory_for_ever),
        cmocka_unit_test(nothing_grows_over_two_hundred_installations),
        cmocka_unit_test(nothing_grows_with_another_thread_either),
    };

    return run_interception_tests(argc, argv, tests);
}
