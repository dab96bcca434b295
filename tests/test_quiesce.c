/* SPDX-License-Identifier: MIT */
/*
 * Records of threads, sections, and waiting for those who are in one.
 */
#include "core.h"

#include <sys/mman.h>

#include "base/grace.h"
#include "base/quiesce.h"

#define NR 39

static struct sta__reader_pool *pool(void)
{
    return atomic_load(&sta__readers);
}

/* Whether this thread is in a section, as something that it calls sees it. */
__attribute__((noinline)) static bool is_inside(void)
{
    return sta__section_current(__builtin_frame_address(0)) != NULL;
}

/* Sections */

static void a_section_lasts_until_it_is_left(void **state)
{
    struct sta__section section = {0};
    struct sta__reader *reader;

    (void)state;
    assert_false(is_inside());
    reader = sta__section_enter(&section);
    assert_non_null(reader);
    assert_int_equal(reader->state, section.token);
    assert_ptr_equal(sta__self.reader, reader);
    assert_true(is_inside());
    sta__section_leave(&section, sta__self.reader);
    assert_int_equal(reader->state, 0);
    assert_false(is_inside());
}

__attribute__((noinline)) static struct sta__reader *enter_deeper(void)
{
    struct sta__section section = {0};

    return sta__section_enter(&section);
}

static void a_thread_is_in_one_section_at_a_time(void **state)
{
    struct sta__section section = {0};
    struct sta__reader *reader = sta__section_enter(&section);

    (void)state;
    assert_non_null(reader);
    assert_null(enter_deeper());
    assert_int_equal(reader->state, section.token); /* and is in it still */
    sta__section_leave(&section, sta__self.reader);
}

static void a_thread_keeps_its_record(void **state)
{
    struct sta__section section = {0};
    struct sta__reader *reader = sta__section_enter(&section);

    (void)state;
    sta__section_leave(&section, sta__self.reader);
    for (int i = 0; i < 100; i++) {
        assert_ptr_equal(sta__section_enter(&section), reader);
        sta__section_leave(&section, sta__self.reader);
    }
}

/* Waiting */

static void with_nobody_inside_a_grace_period_is_over(void **state)
{
    struct sta__section section = {0};

    (void)state;
    assert_int_equal(sta__grace_wait(), STA__GRACE_OVER);
    sta__section_enter(&section);
    assert_int_equal(sta__grace_wait(), STA__GRACE_INSIDE);
    sta__section_leave(&section, sta__self.reader);
    assert_int_equal(sta__grace_wait(), STA__GRACE_OVER);
}

struct visit {
    atomic_bool is_inside, leave, left_first, enter_again;
    int ended; /* not atomic */
};

static void *visit(void *data)
{
    struct visit *visit = data;
    struct sta__section section = {0};

    must(sta__section_enter(&section) != NULL);
    set_flag(&visit->is_inside);
    wait_for_flag(&visit->leave);
    dawdle();
    visit->ended = 1;
    sta__section_leave(&section, sta__self.reader);
    return NULL;
}

static void a_grace_period_waits_for_sections_of_other_threads(void **state)
{
    for (int own = 0; own < 2; own++) {
        struct visit other = {.ended = 0};
        pthread_t thread = start(visit, &other);
        struct sta__section section = {0};

        (void)state;
        wait_for_flag(&other.is_inside);
        set_flag(&other.leave);
        if (own)
            sta__section_enter(&section);
        assert_int_equal(sta__grace_wait(), own ? STA__GRACE_INSIDE : STA__GRACE_OVER);
        assert_int_equal(other.ended, 1);
        if (own)
            sta__section_leave(&section, sta__self.reader);
        finish(thread);
    }
}

/* A thread that is never outside for long, but never in one section for long either. */
static void *come_and_go(void *data)
{
    struct visit *visit = data;
    struct sta__section section = {0};

    do {
        must(sta__section_enter(&section) != NULL);
        set_flag(&visit->is_inside);
        sta__section_leave(&section, sta__self.reader);
        sched_yield(); /* rather than being stopped inside */
    } while (!atomic_load(&visit->leave));
    return NULL;
}

/* More grace periods than the section count in `state` can tell apart. */
static void a_grace_period_does_not_wait_for_later_sections(void **state)
{
    struct visit other = {.ended = 0};
    pthread_t thread = start(come_and_go, &other);

    (void)state;
    wait_for_flag(&other.is_inside);
    for (unsigned i = 0; i < 2500; i++)
        assert_int_equal(sta__grace_wait(), STA__GRACE_OVER);
    set_flag(&other.leave);
    finish(thread);
}

/* Records of threads that ended */

enum { MANY = UNDER_TSAN ? 300 : 3000 };

static uint32_t records(void)
{
    return atomic_load(&pool()->count);
}

static struct sta__reader *own_record(struct sta *sta)
{
    dispatch(sta, NR);
    return sta__self.reader;
}

static atomic_int runs;

static void *exit_seen(void *data)
{
    struct sta__reader *reader = own_record(data);

    must(reader >= pool()->readers && reader < pool()->readers + records());
    must(reader->owner != 0);
    dispatch(data, SYS_exit); /* the original call comes back */
    must_equal(reader->owner, 0);
    must_equal(reader->state, 0);
    return NULL;
}

static void a_thread_that_exits_gives_its_record_back(void **state)
{
    uint32_t before;

    attach_enter(*state, NR, count_run, &runs);
    dispatch(*state, NR);
    finish(start(exit_seen, *state));
    before = records();
    for (int i = 0; i < MANY; i++)
        finish(start(exit_seen, *state));
    assert_int_equal(records(), before);
}

static pthread_barrier_t together;

static void *exit_together(void *data)
{
    own_record(data);
    pthread_barrier_wait(&together);
    return exit_seen(data);
}

static void records_are_used_again_by_other_threads(void **state)
{
    enum { THREADS = 20 };
    pthread_t threads[THREADS];
    uint32_t before = 0;

    attach_enter(*state, NR, count_run, &runs);
    pthread_barrier_init(&together, NULL, THREADS);
    for (int round = 0; round < 10; round++) {
        for (int i = 0; i < THREADS; i++)
            threads[i] = start(exit_together, *state);
        for (int i = 0; i < THREADS; i++)
            finish(threads[i]);
        if (round == 0)
            before = records();
        assert_int_equal(records(), before);
    }
    pthread_barrier_destroy(&together);
}

static jmp_buf back;

static int jump(void *ctx, size_t ctx_size, uint64_t *ret, void *user_data)
{
    (void)ctx, (void)ctx_size, (void)ret, (void)user_data;
    longjmp(back, 1);
}

/* Ends without a call of exit that the library sees, and in the middle of a section at that. */
static void *end_unseen(void *data)
{
    struct sta__reader *volatile reader = own_record(data);

    if (setjmp(back) == 0)
        dispatch(data, NR + 1);
    use_stack();
    must(reader->owner != 0);
    must(reader->state != 0);
    return NULL;
}

/* On a stack of our own, so that each thread has the thread pointer of the one before. */
static void finish_on_stack(void *(*run)(void *), void *data, void *stack, size_t size)
{
    pthread_attr_t attributes;
    pthread_t thread;

    must_equal(pthread_attr_init(&attributes), 0);
    must_equal(pthread_attr_setstack(&attributes, stack, size), 0);
    must_equal(pthread_create(&thread, &attributes, run, data), 0);
    pthread_attr_destroy(&attributes);
    finish(thread);
}

static void records_of_threads_that_ended_unseen_are_reclaimed(void **state)
{
    const size_t size = 2048 * 1024;
    void *stack = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    uint32_t before;

    attach_enter(*state, NR, count_run, &runs);
    attach_enter(*state, NR + 1, jump, NULL);
    dispatch(*state, NR);
    before = records();
    runs = 0;
    for (int i = 0; i < MANY; i++)
        finish_on_stack(end_unseen, *state, stack, size);
    assert_int_equal(runs, MANY);
    assert_in_range(records(), before, before + 1);
    /* The last one's section is in its record still, which nobody will ever claim. */
    assert_int_equal(sta__grace_wait(), STA__GRACE_OVER);
    munmap(stack, size);
}

static void a_section_on_a_stack_that_is_gone_does_not_wedge_detach(void **state)
{
    const size_t size = 2048 * 1024;
    void *stack = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int id = attach_enter(*state, NR + 1, jump, NULL);

    attach_enter(*state, NR, count_run, &runs);
    finish_on_stack(end_unseen, *state, stack, size);
    munmap(stack, size);
    assert_int_equal(sta_detach(*state, id), 0);
}

/* A thread that jumped out of a callback and does not come back to the dispatcher. */

struct stray {
    struct sta *sta;
    atomic_bool is_away, end;
};

static void *jump_and_stay_away(void *data)
{
    struct stray *stray = data;

    if (setjmp(back) == 0)
        dispatch(stray->sta, NR + 1);
    use_stack();
    must(sta__self.reader->state != 0); /* nothing has told the library */
    set_flag(&stray->is_away);
    wait_for_flag(&stray->end);
    return NULL;
}

static void a_section_left_by_longjmp_does_not_wedge_detach(void **state)
{
    struct stray stray = {.sta = *state};
    int id = attach_enter(*state, NR + 1, jump, NULL);
    pthread_t thread = start(jump_and_stay_away, &stray);

    wait_for_flag(&stray.is_away);
    assert_int_equal(sta_detach(*state, id), 0);
    set_flag(&stray.end);
    finish(thread);
}

/* Detaching from inside a callback has to look beyond such a section, too. */
static int detach_from_callback(void *ctx, size_t ctx_size, uint64_t *ret, void *user_data)
{
    (void)ctx, (void)ctx_size;
    *ret = 0;
    must_equal(sta_detach(user_data, 1), 0);
    return 0;
}

static void a_section_left_by_longjmp_does_not_wedge_detach_in_a_callback(void **state)
{
    struct stray stray = {.sta = *state};
    int id = attach_enter(*state, NR + 1, jump, NULL);
    pthread_t thread = start(jump_and_stay_away, &stray);

    assert_int_equal(id, 1);
    wait_for_flag(&stray.is_away);
    attach_enter(*state, NR, detach_from_callback, *state);
    dispatch(*state, NR);
    assert_int_equal(sta_detach(*state, 1), -ENOENT);
    set_flag(&stray.end);
    finish(thread);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_REGISTRY(a_section_lasts_until_it_is_left),
        WITH_REGISTRY(a_thread_is_in_one_section_at_a_time),
        WITH_REGISTRY(a_thread_keeps_its_record),
        WITH_REGISTRY(with_nobody_inside_a_grace_period_is_over),
        WITH_REGISTRY(a_grace_period_waits_for_sections_of_other_threads),
        WITH_REGISTRY(a_grace_period_does_not_wait_for_later_sections),
        WITH_REGISTRY(a_thread_that_exits_gives_its_record_back),
        WITH_REGISTRY(records_are_used_again_by_other_threads),
        WITH_REGISTRY(records_of_threads_that_ended_unseen_are_reclaimed),
        WITH_REGISTRY(a_section_on_a_stack_that_is_gone_does_not_wedge_detach),
        WITH_REGISTRY(a_section_left_by_longjmp_does_not_wedge_detach),
        WITH_REGISTRY(a_section_left_by_longjmp_does_not_wedge_detach_in_a_callback),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
