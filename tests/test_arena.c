/* SPDX-License-Identifier: MIT */
/*
 * Memory for the registry.
 */
#include "core.h"

#include <sys/mman.h>

#include "base/arena.h"

#define PAGE  4096
#define CHUNK ((size_t)256 * 1024)

static int setup(void **state)
{
    *state = calloc(1, sizeof(struct sta__arena));
    return *state ? 0 : -1;
}

static int teardown(void **state)
{
    struct sta__arena *arena = *state;

    sta__arena_destroy(arena);
    assert_null(arena->chunks);
    free(arena);
    return 0;
}

static bool is_filled(const void *block, size_t size, unsigned char with)
{
    const unsigned char *bytes = block;

    for (size_t i = 0; i < size; i++)
        if (bytes[i] != with)
            return false;
    return true;
}

static bool is_mapped(const void *block)
{
    unsigned char resident;
    void *page = (void *)((uintptr_t)block & ~(uintptr_t)(PAGE - 1));

    return mincore(page, 1, &resident) == 0;
}

/* Around each power of two, and past the largest block that is cut from a chunk. */
static size_t each_size(size_t index)
{
    static const size_t offsets[] = {-1, 0, 1};
    size_t shift = index / COUNT(offsets);

    return shift > 20 ? 0 : ((size_t)1 << shift) + offsets[index % COUNT(offsets)];
}

static void blocks_of_every_size_are_aligned_and_zeroed(void **state)
{
    struct sta__arena *arena = *state;

    for (size_t i = 0; i == 0 || each_size(i) > 0; i++) {
        size_t size = each_size(i);
        void *block;

        if (size == 0)
            continue;
        for (int round = 0; round < 3; round++) {
            block = sta__arena_alloc(arena, size);
            assert_non_null(block);
            assert_int_equal((uintptr_t)block % 64, 0);
            assert_true(is_filled(block, size, 0));
            memset(block, 0xee, size);
            sta__arena_free(arena, block, size);
        }
    }
}

static void blocks_do_not_overlap(void **state)
{
    enum { ROUNDS = 4, SIZES = 63 };
    struct sta__arena *arena = *state;
    unsigned char *blocks[ROUNDS][SIZES] = {0};

    for (unsigned round = 0; round < ROUNDS; round++) {
        for (size_t i = 0; i < SIZES; i++) {
            if (each_size(i) == 0)
                continue;
            blocks[round][i] = sta__arena_alloc(arena, each_size(i));
            assert_non_null(blocks[round][i]);
            memset(blocks[round][i], (int)(round * SIZES + i), each_size(i));
        }
    }
    for (unsigned round = 0; round < ROUNDS; round++) {
        for (size_t i = 0; i < SIZES; i++) {
            assert_true(
                is_filled(blocks[round][i], each_size(i), (unsigned char)(round * SIZES + i)));
            sta__arena_free(arena, blocks[round][i], each_size(i));
        }
    }
}

static void a_block_is_used_again_for_sizes_of_its_class(void **state)
{
    struct sta__arena *arena = *state;
    void *block = sta__arena_alloc(arena, 65), *other;

    memset(block, 0xee, 65);
    sta__arena_free(arena, block, 65);
    other = sta__arena_alloc(arena, 64);
    assert_ptr_not_equal(other, block);
    assert_ptr_equal(sta__arena_alloc(arena, 128), block);
    assert_true(is_filled(block, 128, 0));
    assert_ptr_not_equal(sta__arena_alloc(arena, 128), block);
    sta__arena_free(arena, block, 128);
    sta__arena_free(arena, other, 64);
    assert_ptr_equal(sta__arena_alloc(arena, 1), other);
    assert_ptr_equal(sta__arena_alloc(arena, 100), block);
}

static void reuse_needs_no_more_chunks(void **state)
{
    enum { BLOCKS = 100 };
    struct sta__arena *arena = *state;
    struct sta__arena_chunk *chunks = NULL;
    size_t used = 0;
    void *blocks[BLOCKS];

    for (int round = 0; round < 100; round++) {
        for (int i = 0; i < BLOCKS; i++)
            blocks[i] = sta__arena_alloc(arena, 1000);
        for (int i = 0; i < BLOCKS; i++)
            sta__arena_free(arena, blocks[(i * 37) % BLOCKS], 1000);
        if (round == 0) {
            chunks = arena->chunks;
            used = arena->chunk_used;
        }
        assert_ptr_equal(arena->chunks, chunks);
        assert_int_equal(arena->chunk_used, used);
    }
}

static void big_blocks_go_back_to_the_system(void **state)
{
    static const size_t sizes[] = {STA__ARENA_SMALL + 1, STA__ARENA_SMALL + PAGE,
                                   STA__ARENA_SMALL + PAGE + 1, STA__ARENA_SMALL * 9};
    struct sta__arena *arena = *state;

    for (size_t i = 0; i < COUNT(sizes); i++) {
        unsigned char *block = sta__arena_alloc(arena, sizes[i]);

        assert_non_null(block);
        assert_null(arena->chunks);
        block[0] = block[sizes[i] - 1] = 1;
        assert_true(is_mapped(block));
        assert_true(is_mapped(block + sizes[i] - 1));
        sta__arena_free(arena, block, sizes[i]);
        assert_false(is_mapped(block));
        assert_false(is_mapped(block + sizes[i] - 1));
    }
}

static void destroying_gives_all_chunks_back(void **state)
{
    enum { BLOCKS = 100 };
    struct sta__arena *arena = *state;
    void *blocks[BLOCKS];

    for (int i = 0; i < BLOCKS; i++)
        blocks[i] = sta__arena_alloc(arena, STA__ARENA_SMALL);
    for (int i = 0; i < BLOCKS; i += 2)
        sta__arena_free(arena, blocks[i], STA__ARENA_SMALL);
    sta__arena_destroy(arena);
    for (int i = 0; i < BLOCKS; i++)
        assert_false(is_mapped(blocks[i]));
}

static void a_destroyed_arena_is_an_empty_one(void **state)
{
    struct sta__arena *arena = *state;

    for (int round = 0; round < 10; round++) {
        for (size_t i = 1; i < 63; i++) {
            size_t size = each_size(i);
            void *block = sta__arena_alloc(arena, size);

            assert_non_null(block);
            assert_true(is_filled(block, size, 0));
            memset(block, 0xee, size);
            if (i % 2 || size > STA__ARENA_SMALL)
                sta__arena_free(arena, block, size);
        }
        sta__arena_destroy(arena);
    }
}

static void *come_and_go(void *unused)
{
    (void)unused;
    for (int i = 0; i < 300; i++) {
        struct sta__arena arena = {0};

        memset(sta__arena_alloc(&arena, 1000), 0xee, 1000);
        sta__arena_free(&arena, sta__arena_alloc(&arena, CHUNK), CHUNK);
        sta__arena_destroy(&arena);
    }
    return NULL;
}

/* The system gives one what another gave back. */
static void arenas_of_several_threads_come_and_go(void **state)
{
    pthread_t threads[4];

    (void)state;
    for (size_t i = 0; i < COUNT(threads); i++)
        threads[i] = start(come_and_go, NULL);
    for (size_t i = 0; i < COUNT(threads); i++)
        finish(threads[i]);
}

static void freeing_nothing_is_allowed(void **state)
{
    sta__arena_free(*state, NULL, 64);
    sta__arena_free(*state, NULL, CHUNK);
    assert_ptr_not_equal(sta__arena_alloc(*state, 64), NULL);
}

static void no_memory_is_no_block(void **state)
{
    assert_null(sta__arena_alloc(*state, (size_t)1 << 50));
    assert_non_null(sta__arena_alloc(*state, 64));
}

int main(void)
{
#define WITH_ARENA(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        WITH_ARENA(blocks_of_every_size_are_aligned_and_zeroed),
        WITH_ARENA(blocks_do_not_overlap),
        WITH_ARENA(a_block_is_used_again_for_sizes_of_its_class),
        WITH_ARENA(reuse_needs_no_more_chunks),
        WITH_ARENA(big_blocks_go_back_to_the_system),
        WITH_ARENA(destroying_gives_all_chunks_back),
        WITH_ARENA(a_destroyed_arena_is_an_empty_one),
        WITH_ARENA(arenas_of_several_threads_come_and_go),
        WITH_ARENA(freeing_nothing_is_allowed),
        WITH_ARENA(no_memory_is_no_block),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
