/* SPDX-License-Identifier: MIT */
/*
 * Maps and programs that are given back while others have them: they stay, and go with the last.
 * Whether a map is gone is told by its memfd: it is open as long as the map is there.
 */
#include "maps.h"

#include <fcntl.h>

#include <sta/program.h>

#include "base/after_grace.h"
#include "ebpf/tail.h"
#include "maps/objects.h"

#undef COUNT
#include "vm/build.h"

#define CALL(name) I(CALL, 0, 0, 0, BPF_FUNC_##name)

static struct sta_map *maps[2]; /* by the number that instructions have */

static int find_map(void *data, int fd, int is_index, struct sta_map **out)
{
    (void)data;
    if (is_index || fd < 0 || fd >= (int)COUNT(maps) || !maps[fd])
        return -EBADF;
    *out = maps[fd];
    return 0;
}

static struct sta_program *load(const struct bpf_insn *insns, size_t count)
{
    const struct sta_program_options options = {
        .size = sizeof(options), .find_map = find_map, .log = print_log};
    struct sta_program *program = NULL;

    must_equal(sta_program_load(&program, insns, count, &options), 0);
    return program;
}

static uint64_t run(struct sta_program *program)
{
    uint64_t ret = UINT64_MAX;
    char ctx[64] = {0};

    must_equal(sta_program_run(program, ctx, sizeof(ctx), &ret), 0);
    return ret;
}

static bool is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

/* An array of one counter; its memfd. */
static int make_counter(void)
{
    maps[0] = make_map(BPF_MAP_TYPE_ARRAY, 4, 8, 1);
    return sta_map_fd(maps[0]);
}

/* Adds one to map 0, and returns what it is then. */
static const struct bpf_insn counting[] = {
    WIDE_MAP(1, 2, 0, 0), I(LDXDW, 0, 1, 0, 0), I(ADD64K, 0, 0, 0, 1),
    I(STXDW, 1, 0, 0, 0), I(EXIT, 0, 0, 0, 0),
};
/* Tail call to element 0 of map 1; 3 if there is none. */
static const struct bpf_insn jumping[] = {
    WIDE_MAP(2, 1, 1, 0),  I(MOV64K, 3, 0, 0, 0), CALL(tail_call),
    I(MOV64K, 0, 0, 0, 3), I(EXIT, 0, 0, 0, 0),
};

static void a_program_keeps_its_maps(void **state)
{
    int fd = make_counter();
    struct sta_program *program = load(counting, COUNT(counting));

    (void)state;
    sta_map_close(maps[0]);
    assert_true(is_open(fd));
    assert_int_equal(run(program), 1);
    assert_int_equal(run(program), 2);
    sta_program_free(program);
    assert_false(is_open(fd));
}

static void a_program_that_is_refused_keeps_none(void **state)
{
    static const struct bpf_insn unsafe[] = {WIDE_MAP(1, 2, 0, 0), I(LDXDW, 0, 1, 8, 0),
                                             I(EXIT, 0, 0, 0, 0)};
    const struct sta_program_options options = {.size = sizeof(options), .find_map = find_map};
    int fd = make_counter();
    struct sta_program *program;

    (void)state;
    assert_int_equal(sta_program_load(&program, unsafe, COUNT(unsafe), &options), -EACCES);
    assert_int_equal(sta_program_load(&program, unsafe, 2, &options), -EINVAL);
    sta_map_close(maps[0]);
    assert_false(is_open(fd));
}

static void who_opens_it_again_closes_it_again(void **state)
{
    int fd = make_counter();

    (void)state;
    sta__map_open(maps[0]);
    sta_map_close(maps[0]);
    assert_true(is_open(fd));
    sta_map_close(maps[0]);
    assert_false(is_open(fd));
}

static void an_attached_program_stays(void **state)
{
    struct sta *sta = *state;
    const struct sta_target target = {SYS_read, true};
    int fd = make_counter(), id;
    struct sta_program *program = load(counting, COUNT(counting));
    struct sta_map *map = maps[0];

    sta__map_get(map); /* to look at it */
    sta_map_close(map);
    id = sta_attach_program(sta, &target, program);
    assert_true(id > 0);
    sta_program_free(program);
    dispatch(sta, SYS_read);
    dispatch(sta, SYS_read);
    assert_int_equal(*(uint64_t *)map->values, 2);
    sta__map_put(map);
    assert_true(is_open(fd));
    detach(sta, id);
    assert_false(is_open(fd));
}

static void the_end_of_a_registry_detaches(void **state)
{
    const struct sta_target target = {SYS_read, false};
    struct sta *sta = new_registry();
    int fd = make_counter();
    struct sta_program *program = load(counting, COUNT(counting));

    (void)state;
    sta_map_close(maps[0]);
    assert_true(sta_attach_program(sta, &target, program) > 0);
    sta_program_free(program);
    assert_true(is_open(fd));
    sta_free(sta);
    assert_false(is_open(fd));
}

/* Inside a callback nobody waits for the callback's own section, whose list has the program still.
 */

struct leaving {
    struct sta *sta;
    int id, fd;
    struct sta_program *program;
    bool was_open;
};

static int detach_and_free(void *ctx, size_t ctx_size, uint64_t *ret, void *user_data)
{
    struct leaving *leaving = user_data;

    (void)ctx, (void)ctx_size, (void)ret;
    if (!leaving->id)
        return 0;
    detach(leaving->sta, leaving->id);
    leaving->id = 0;
    sta_program_free(leaving->program);
    leaving->was_open = is_open(leaving->fd);
    return 0;
}

static int end_rest(void *ctx, size_t ctx_size, uint64_t *ret, void *user_data)
{
    (void)ctx, (void)ctx_size, (void)ret, (void)user_data;
    sta__after_grace_rest();
    return 0;
}

static void what_a_callback_gives_back_stays_for_its_section(void **state)
{
    struct leaving leaving = {.sta = *state};
    const struct sta_target target = {SYS_read, true};
    struct sta_program *program;

    attach_enter(leaving.sta, SYS_read, detach_and_free, &leaving);
    leaving.fd = make_counter();
    program = load(counting, COUNT(counting));
    sta_map_close(maps[0]);
    leaving.program = program;
    leaving.id = sta_attach_program(leaving.sta, &target, program);
    assert_true(leaving.id > 0);
    dispatch(leaving.sta, SYS_read); /* behind the callback the program runs, to no harm */
    assert_true(leaving.was_open);
    sta_free(leaving.sta);
    assert_false(is_open(leaving.fd));
    *state = new_registry();
}

static int close_map(void *ctx, size_t ctx_size, uint64_t *ret, void *user_data)
{
    (void)ctx, (void)ctx_size, (void)ret;
    sta_map_close(user_data);
    sta__after_grace_rest();
    return 0;
}

static void a_later_callback_ends_what_an_earlier_one_left(void **state)
{
    int fd = make_counter();
    int id = attach_enter(*state, SYS_read, close_map, maps[0]);

    attach_enter(*state, SYS_write, end_rest, NULL);
    dispatch(*state, SYS_read);
    assert_true(is_open(fd));
    dispatch(*state, SYS_write);
    assert_false(is_open(fd));
    detach(*state, id);
}

static void an_element_keeps_its_program(void **state)
{
    const uint32_t index = 0;
    int fd = make_counter();
    struct sta_program *jumper, *counter, *other;

    (void)state;
    maps[1] = make_map(BPF_MAP_TYPE_PROG_ARRAY, 4, 4, 1);
    jumper = load(jumping, COUNT(jumping));
    counter = load(counting, COUNT(counting));
    sta_map_close(maps[0]);
    assert_int_equal(sta_map_set_program(maps[1], index, counter), 0);
    assert_int_equal(sta_map_set_program(maps[1], index, counter), 0);
    sta_program_free(counter);
    assert_int_equal(run(jumper), 1);
    assert_int_equal(sta_map_delete(maps[1], &index), 0);
    assert_false(is_open(fd));
    assert_int_equal(run(jumper), 3);

    fd = make_counter(); /* another one takes its place */
    counter = load(counting, COUNT(counting));
    sta_map_close(maps[0]);
    other = load(jumping, COUNT(jumping));
    assert_int_equal(sta_map_set_program(maps[1], index, counter), 0);
    sta_program_free(counter);
    assert_true(is_open(fd));
    assert_int_equal(sta_map_set_program(maps[1], index, other), 0);
    assert_false(is_open(fd));
    sta_program_free(other);
    sta_program_free(jumper);
    sta_map_close(maps[1]);
}

/* A program in an array that it uses itself: they would keep each other. */
static void an_array_that_only_programs_have_is_empty(void **state)
{
    int fd = make_counter(), array_fd;
    struct sta_program *jumper, *counter;

    (void)state;
    maps[1] = make_map(BPF_MAP_TYPE_PROG_ARRAY, 4, 4, 2);
    array_fd = sta_map_fd(maps[1]);
    jumper = load(jumping, COUNT(jumping));
    counter = load(counting, COUNT(counting));
    sta_map_close(maps[0]);
    assert_int_equal(sta_map_set_program(maps[1], 0, counter), 0);
    assert_int_equal(sta_map_set_program(maps[1], 1, jumper), 0);
    assert_int_equal(run(jumper), 1);
    sta_map_close(maps[1]);
    assert_int_equal(run(jumper), 3);
    assert_true(is_open(fd));
    sta_program_free(counter);
    assert_false(is_open(fd));
    sta_program_free(jumper);
    assert_false(is_open(array_fd));
}

static void an_element_keeps_its_map(void **state)
{
    static const uint32_t types[] = {BPF_MAP_TYPE_ARRAY_OF_MAPS, BPF_MAP_TYPE_HASH_OF_MAPS};

    (void)state;
    for (size_t i = 0; i < COUNT(types); i++) {
        int fd = make_counter(), other_fd;
        struct sta_map_options options = {.size = sizeof(options),
                                          .type = types[i],
                                          .key_size = 4,
                                          .value_size = 4,
                                          .max_entries = 2,
                                          .inner = maps[0]};
        struct sta_map *outer = NULL, *other = make_map(BPF_MAP_TYPE_ARRAY, 4, 8, 1);
        uint32_t key = 1;

        other_fd = sta_map_fd(other);
        assert_int_equal(sta_map_create(&outer, &options), 0);
        assert_int_equal(sta_map_set_map(outer, &key, maps[0], BPF_ANY), 0);
        key = 0;
        assert_int_equal(sta_map_set_map(outer, &key, maps[0], BPF_ANY), 0);
        sta_map_close(maps[0]);
        assert_ptr_equal(outer->ops->lookup(outer, &key), maps[0]);
        assert_int_equal(sta_map_delete(outer, &key), 0);
        assert_int_equal(sta_map_delete(outer, &key), -ENOENT);
        assert_true(is_open(fd));
        key = 1;
        assert_int_equal(sta_map_set_map(outer, &key, other, BPF_NOEXIST),
                         types[i] == BPF_MAP_TYPE_HASH_OF_MAPS ? -EEXIST : -EINVAL);
        assert_int_equal(sta_map_set_map(outer, &key, other, BPF_ANY), 0);
        assert_false(is_open(fd));
        sta_map_close(other);
        assert_true(is_open(other_fd));
        sta_map_close(outer);
        assert_false(is_open(other_fd));
    }
}

/* More than there can be at a time, one after the other. */
static void objects_come_and_go(void **state)
{
    static char objects[8];
    uint32_t ids[8] = {0};

    (void)state;
    for (uint32_t i = 0; i < 2 * STA__OBJECTS_MAX; i++) {
        uint32_t which = i % 8;

        if (ids[which]) {
            assert_ptr_equal(sta__object_find(ids[which]), &objects[which]);
            sta__object_forget(&objects[which]);
            assert_null(sta__object_find(ids[which]));
        }
        ids[which] = sta__object_note(&objects[which], STA__OBJECT_PROGRAM, 0);
        assert_int_not_equal(ids[which], 0);
        assert_int_equal(
            sta__object_note(&objects[(which + 1) % 8], STA__OBJECT_PROGRAM, ids[which]), 0);
    }
    for (uint32_t i = 0; i < 8; i++)
        sta__object_forget(&objects[i]);
}

/* Others look up what is changed: whatever they find is there to the end of the dispatch. */

struct race {
    struct sta *sta;
    atomic_bool end;
};

static void *dispatch_often(void *data)
{
    struct race *race = data;

    while (!atomic_load(&race->end))
        dispatch(race->sta, SYS_read);
    return NULL;
}

static void elements_change_under_running_programs(void **state)
{
    const struct sta_target target = {SYS_read, true};
    struct race race = {.sta = *state};
    struct sta_program *jumper;
    struct sta_map *counter;
    const uint32_t index = 0;
    pthread_t threads[2];
    uint64_t before;

    maps[1] = make_map(BPF_MAP_TYPE_PROG_ARRAY, 4, 4, 1);
    jumper = load(jumping, COUNT(jumping));
    assert_true(sta_attach_program(race.sta, &target, jumper) > 0);
    sta_program_free(jumper);
    make_counter();
    counter = maps[0];
    for (size_t i = 0; i < COUNT(threads); i++)
        threads[i] = start(dispatch_often, &race);
    for (int i = 0; i < (UNDER_TSAN ? 100 : 500); i++) {
        struct sta_program *program = load(counting, COUNT(counting));

        before = __atomic_load_n((uint64_t *)counter->values, __ATOMIC_RELAXED);
        assert_int_equal(sta_map_set_program(maps[1], index, program), 0);
        sta_program_free(program);
        while (__atomic_load_n((uint64_t *)counter->values, __ATOMIC_RELAXED) == before)
            sched_yield();
        if (i % 2)
            assert_int_equal(sta_map_delete(maps[1], &index), 0);
    }
    atomic_store(&race.end, true);
    for (size_t i = 0; i < COUNT(threads); i++)
        finish(threads[i]);
    sta_map_close(maps[1]);
    sta_map_close(counter);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_program_keeps_its_maps),
        cmocka_unit_test(a_program_that_is_refused_keeps_none),
        cmocka_unit_test(who_opens_it_again_closes_it_again),
        WITH_REGISTRY(an_attached_program_stays),
        cmocka_unit_test(the_end_of_a_registry_detaches),
        WITH_REGISTRY(what_a_callback_gives_back_stays_for_its_section),
        WITH_REGISTRY(a_later_callback_ends_what_an_earlier_one_left),
        cmocka_unit_test(an_element_keeps_its_program),
        cmocka_unit_test(an_array_that_only_programs_have_is_empty),
        cmocka_unit_test(an_element_keeps_its_map),
        cmocka_unit_test(objects_come_and_go),
        WITH_REGISTRY(elements_change_under_running_programs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
