/* SPDX-License-Identifier: MIT */
/* Sites that trap, made by hand: they make the call; every other trap is the application's. */
#define TEST_METHOD STA_METHOD_REWRITE
#include "intercept.h"

#include <ucontext.h>

#include "transform/trap.h"

#define SITE_SIZE 16

/* mov $nr,%eax; ud2; ret. Returns the address of the ud2. */
static uintptr_t write_site(unsigned char *at, int sys_nr)
{
    const unsigned char bytes[] = {0xb8, (unsigned char)sys_nr, 0, 0, 0, 0x0f, 0x0b, 0xc3};

    memcpy(at, bytes, sizeof(bytes));
    return (uintptr_t)at + 5;
}

static unsigned char *map_code(size_t size)
{
    unsigned char *code =
        mmap(NULL, size, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    CHECK(code != MAP_FAILED);
    return code;
}

static long run(uintptr_t ud2)
{
    return ((long (*)(void))(ud2 - 5))();
}

/* The library's signals need a registry. */
static void begin(void)
{
    new_registry();
}

VICTIM(a_site_that_is_claimed_makes_its_call)
{
    unsigned char *code = map_code(4096);
    uintptr_t sites[100];

    begin();
    for (size_t i = 0; i < COUNT_OF(sites); i++) {
        sites[i] = write_site(code + i * SITE_SIZE, i % 2 ? SYS_getppid : SYS_getuid);
        CHECK(sta__trap_claim(sites[i]));
    }
    sta__trap_unblock();
    for (int round = 0; round < 10; round++)
        for (size_t i = 0; i < COUNT_OF(sites); i++)
            CHECK_EQ(run(sites[i]), i % 2 ? STA__RAW0(SYS_getppid) : STA__RAW0(SYS_getuid));
    for (size_t i = 0; i < COUNT_OF(sites); i += 3)
        sta__trap_release(sites[i]);
    for (size_t i = 0; i < COUNT_OF(sites); i++)
        if (i % 3)
            CHECK_EQ(run(sites[i]), i % 2 ? STA__RAW0(SYS_getppid) : STA__RAW0(SYS_getuid));
    sta__trap_end();
    sta__trap_block_again();
}

static volatile uintptr_t illegal_at;

static void on_illegal(int signal, siginfo_t *info, void *context)
{
    (void)signal;
    illegal_at = (uintptr_t)info->si_addr;
    ((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP] += 2;
}

static void check_illegal(uintptr_t ud2)
{
    illegal_at = 0;
    CHECK_EQ(run(ud2), SYS_getppid); /* rax as it was */
    CHECK_EQ(illegal_at, ud2);
}

VICTIM(any_other_is_the_applications)
{
    unsigned char *code = map_code(4096);
    uintptr_t ours = write_site(code, SYS_getppid), theirs = write_site(code + 32, SYS_getppid);
    struct sigaction action = {.sa_sigaction = on_illegal, .sa_flags = SA_SIGINFO};

    begin();
    CHECK_EQ(sigaction(SIGILL, &action, NULL), 0);
    check_illegal(ours);
    CHECK(sta__trap_claim(ours));
    sta__trap_unblock();
    for (int i = 0; i < 10; i++) {
        CHECK_EQ(run(ours), STA__RAW0(SYS_getppid));
        check_illegal(theirs);
    }
    sta__trap_release(ours);
    check_illegal(ours);
    sta__trap_end();
    sta__trap_block_again();
    check_illegal(ours);
    check_illegal(theirs);
}

/* Libraries with such a site come and go. */
VICTIM(places_that_were_released_are_used_again)
{
    unsigned char *code = map_code(1 << 20);
    const size_t count = (1 << 20) / SITE_SIZE;
    uintptr_t kept[100];

    begin();
    for (size_t i = 0; i < COUNT_OF(kept); i++) {
        kept[i] = write_site(code + i * SITE_SIZE, SYS_getppid);
        CHECK(sta__trap_claim(kept[i]));
    }
    sta__trap_unblock();
    for (size_t i = COUNT_OF(kept); i < count; i++) {
        uintptr_t site = write_site(code + i * SITE_SIZE, SYS_getuid);

        if (!sta__trap_claim(site))
            victim_failed("number %zu is not accepted", i);
        if (i % 64 == 0)
            CHECK_EQ(run(site), STA__RAW0(SYS_getuid));
        sta__trap_release(site);
    }
    for (size_t i = 0; i < COUNT_OF(kept); i++)
        CHECK_EQ(run(kept[i]), STA__RAW0(SYS_getppid));
    sta__trap_end();
    sta__trap_block_again();
}

VICTIM(there_is_an_end_to_places)
{
    uintptr_t accepted = 0;

    begin();
    while (accepted < 100000 && sta__trap_claim(0x10000 + accepted * 2))
        accepted++;
    CHECK(accepted >= 256 && accepted < 100000);
    sta__trap_release(0x10000);
    CHECK(sta__trap_claim(0x20000000));
    CHECK(!sta__trap_claim(0x30000000));
    sta__trap_end();
}

static void *end_when_told(void *fd)
{
    char byte;

    CHECK_EQ(read(*(int *)fd, &byte, 1), 1);
    return NULL;
}

/* It may block SIGILL, and would die of the first trap. */
VICTIM(beside_a_thread_there_is_none)
{
    pthread_t thread;
    int ends[2];

    begin();
    CHECK_EQ(pipe(ends), 0);
    CHECK_EQ(pthread_create(&thread, NULL, end_when_told, &ends[0]), 0);
    CHECK(!sta__trap_claim(0x10000));
    CHECK_EQ(write(ends[1], "x", 1), 1);
    CHECK_EQ(pthread_join(thread, NULL), 0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_site_that_is_claimed_makes_its_call),
        cmocka_unit_test(any_other_is_the_applications),
        cmocka_unit_test(places_that_were_released_are_used_again),
        cmocka_unit_test(there_is_an_end_to_places),
        cmocka_unit_test(beside_a_thread_there_is_none),
    };

    return run_interception_tests(argc, argv, tests);
}
