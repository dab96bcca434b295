/* SPDX-License-Identifier: MIT */
/*
 * The vDSO: what it answers by itself it still answers, and the calls that it makes are seen.
 */
#include "intercept.h"

#include <elf.h>
#include <sys/auxv.h>
#include <sys/time.h>

#include "idler.h"
#include "text.h"

#define BAD_CLOCK 99

/* A function of the vDSO, by its dynamic symbol table. */
static void *vdso_function(const char *name)
{
    const char *base = (const char *)getauxval(AT_SYSINFO_EHDR);
    const Elf64_Ehdr *header = (const void *)base;
    const Elf64_Shdr *sections;

    if (!base)
        victim_skip("this kernel has no vDSO");
    sections = (const void *)(base + header->e_shoff);
    for (int i = 0; i < header->e_shnum; i++) {
        const Elf64_Sym *symbols = (const void *)(base + sections[i].sh_offset);
        const char *names;

        if (sections[i].sh_type != SHT_DYNSYM)
            continue;
        names = base + sections[sections[i].sh_link].sh_offset;
        for (size_t j = 0; j < sections[i].sh_size / sizeof(*symbols); j++)
            if (strcmp(names + symbols[j].st_name, name) == 0)
                return (void *)(uintptr_t)(base + symbols[j].st_value);
    }
    victim_skip("the vDSO lacks a function");
}

typedef long (*vdso_clock_fn)(long clock, struct timespec *time);
typedef long (*vdso_time_fn)(long *time);

static vdso_clock_fn vdso_clock(const char *name)
{
    return (vdso_clock_fn)(uintptr_t)vdso_function(name);
}

VICTIM(its_fallback_calls_are_seen)
{
    vdso_clock_fn gettime = vdso_clock("__vdso_clock_gettime");
    vdso_clock_fn getres = vdso_clock("__vdso_clock_getres");
    struct sta *sta = new_registry();
    struct seen *times = count_calls(sta, SYS_clock_gettime);
    struct seen *resolutions = count_calls(sta, SYS_clock_getres);
    struct timespec time;

    CHECK_EQ(gettime(BAD_CLOCK, &time), -EINVAL);
    CHECK_EQ(times->enters, 0);
    install(sta);
    for (int i = 1; i <= 20; i++) {
        CHECK_EQ(gettime(BAD_CLOCK, &time), -EINVAL);
        CHECK_EQ(times->enters, i);
        CHECK_EQ(times->exits, i);
        CHECK_EQ(times->last_id, SYS_clock_gettime);
        CHECK_EQ(times->last_ret, -EINVAL);
        CHECK_EQ(getres(BAD_CLOCK, &time), -EINVAL);
        CHECK_EQ(resolutions->exits, i);
    }
    errno = 0;
    CHECK_EQ(clock_gettime(BAD_CLOCK, &time), -1); /* libc's goes there, too */
    CHECK_EQ(errno, EINVAL);
    CHECK_EQ(times->enters, 21);
    /* A clock that only the kernel knows. */
    CHECK_EQ(gettime(CLOCK_PROCESS_CPUTIME_ID, &time), 0);
    CHECK(time.tv_sec > 0 || time.tv_nsec > 0);
    CHECK_EQ(times->enters, 22);
    remove_transformer(sta);
    CHECK_EQ(gettime(BAD_CLOCK, &time), -EINVAL);
    CHECK_EQ(times->enters, 22);
}

static int answer(void *ctx, size_t ctx_size, uint64_t *ret, void *time)
{
    (void)ctx, (void)ctx_size, (void)ret, (void)time;
    *(struct timespec *)sta_current_args()[1] = (struct timespec){4711, 815};
    return sta_override_return(0);
}

VICTIM(its_fallback_calls_can_be_overridden)
{
    vdso_clock_fn gettime = vdso_clock("__vdso_clock_gettime");
    struct sta *sta = new_registry();
    struct timespec time = {0};

    attach(sta, SYS_clock_gettime, true, answer, NULL);
    install(sta);
    CHECK_EQ(gettime(BAD_CLOCK, &time), 0);
    CHECK_EQ(time.tv_sec, 4711);
    CHECK_EQ(time.tv_nsec, 815);
    remove_transformer(sta);
}

/* These two need no clock source, so that no machine lacks them. */
VICTIM(its_own_answers_stay_its_own)
{
    vdso_clock_fn gettime = vdso_clock("__vdso_clock_gettime");
    vdso_time_fn get_time = (vdso_time_fn)(uintptr_t)vdso_function("__vdso_time");
    struct timespec first, last;
    struct seen *seen;
    struct sta *sta;
    long before;

    CHECK_EQ(gettime(CLOCK_MONOTONIC_COARSE, &first), 0);
    before = get_time(NULL);
    sta = installed_counting(STA_ALL_SYSCALLS, &seen);
    {
        long enters = seen->enters;

        for (int i = 0; i < 1000; i++) {
            CHECK_EQ(gettime(CLOCK_MONOTONIC_COARSE, &last), 0);
            CHECK(get_time(NULL) >= before);
        }
        CHECK_EQ(seen->enters, enters);
    }
    CHECK(last.tv_sec >= first.tv_sec);
    remove_transformer(sta);
}

VICTIM(its_bytes_are_restored)
{
    struct text *text = text_snapshot();
    const uintptr_t vdso = getauxval(AT_SYSINFO_EHDR);
    struct seen *seen;
    struct sta *sta;

    if (!vdso)
        victim_skip("this kernel has no vDSO");
    CHECK(text_byte(text, vdso) >= 0);
    for (int i = 0; i < 5; i++) {
        sta = installed_counting(SYS_clock_gettime, &seen);
        remove_transformer(sta);
        text_check(text);
    }
}

/* Beside another thread its pages change places with a copy, which is no mapping of the kernel's
 * any more. */
VICTIM(it_is_seen_again_after_it_was_restored_beside_a_thread)
{
    vdso_clock_fn gettime = vdso_clock("__vdso_clock_gettime");
    struct sta *sta = new_registry();
    struct seen *times = count_calls(sta, SYS_clock_gettime);
    struct timespec time;
    pthread_t thread = start_idler();

    for (int i = 0; i < 5; i++) {
        long before;

        install(sta);
        before = times->enters;
        CHECK_EQ(gettime(BAD_CLOCK, &time), -EINVAL);
        CHECK_EQ(times->enters, before + 1);
        remove_transformer(sta);
    }
    end_threads(&thread, 1);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(its_fallback_calls_are_seen),
        cmocka_unit_test(its_fallback_calls_can_be_overridden),
        cmocka_unit_test(its_own_answers_stay_its_own),
        cmocka_unit_test(its_bytes_are_restored),
        cmocka_unit_test(it_is_seen_again_after_it_was_restored_beside_a_thread),
    };

    return run_interception_tests(argc, argv, tests);
}
