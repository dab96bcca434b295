/* SPDX-License-Identifier: MIT */
#include "base/arena.h"

#include <string.h>
#include <sys/mman.h>

#include "base/compiler.h"
#include "base/gate.h"

#if defined(__SANITIZE_ADDRESS__)
#    include <sanitizer/asan_interface.h>
#else
#    define ASAN_POISON_MEMORY_REGION(address, size)   ((void)(address), (void)(size))
#    define ASAN_UNPOISON_MEMORY_REGION(address, size) ((void)(address), (void)(size))
#endif

/* What blocks are cut from; a block of half its size or more gets a chunk of its own. */
#define CHUNK_SIZE ((size_t)256 * 1024)
#define PAGE_SIZE  ((size_t)4096)

struct sta__arena_chunk {
    struct sta__arena_chunk *next;
    size_t size;
} __attribute__((aligned(STA__CACHE_LINE)));

#if STA__THREAD_SANITIZER
/* It has to know that memory is not what another thread's registry had at the same address. */
static void *map(size_t size)
{
    void *address = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    return address == MAP_FAILED ? NULL : address;
}

static void unmap(void *address, size_t size)
{
    munmap(address, size);
}
#else
static void *map(size_t size)
{
    int64_t address =
        STA__RAW6(SYS_mmap, 0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    return address < 0 && address > -4096 ? NULL : (void *)address;
}

static void unmap(void *address, size_t size)
{
    STA__RAW2(SYS_munmap, address, size);
}
#endif

static size_t whole_pages(size_t size)
{
    return (size + PAGE_SIZE - 1) & ~(PAGE_SIZE - 1);
}

static unsigned size_class(size_t size)
{
    unsigned class = 0;

    while (((size_t)1 << (class + STA__ARENA_MIN_SHIFT)) < size)
        class ++;
    return class;
}

static struct sta__arena_chunk *chunk_new(size_t size)
{
    struct sta__arena_chunk *chunk = map(size);

    if (chunk)
        chunk->size = size;
    return chunk;
}

/* Behind the newest chunk, which blocks go on being cut from. */
static void *own_chunk(struct sta__arena *arena, size_t size)
{
    struct sta__arena_chunk *chunk = chunk_new(whole_pages(sizeof(*chunk) + size));

    if (!chunk)
        return NULL;
    chunk->next = arena->chunks->next;
    sta__store_barrier();
    arena->chunks->next = chunk;
    return chunk + 1;
}

static void *cut(struct sta__arena *arena, size_t size)
{
    struct sta__arena_chunk *chunk = arena->chunks;
    char *block;

    if (!chunk || (size < CHUNK_SIZE / 2 && arena->chunk_used + size > CHUNK_SIZE)) {
        chunk = chunk_new(CHUNK_SIZE);
        if (!chunk)
            return NULL;
        chunk->next = arena->chunks;
        arena->chunk_used = CHUNK_SIZE; /* until the new chunk is in place nothing is left in it */
        sta__store_barrier();
        arena->chunks = chunk;
        arena->chunk_used = sizeof(*chunk);
    }
    if (size >= CHUNK_SIZE / 2)
        return own_chunk(arena, size);
    block = (char *)chunk + arena->chunk_used;
    arena->chunk_used += size;
    return block;
}

void *sta__arena_alloc(struct sta__arena *arena, size_t size)
{
    unsigned class;
    void *block;

    if (size > STA__ARENA_SMALL)
        return map(whole_pages(size));
    class = size_class(size);
    block = arena->free[class];
    if (!block)
        return cut(arena, (size_t)1 << (class + STA__ARENA_MIN_SHIFT));
    ASAN_UNPOISON_MEMORY_REGION(block, (size_t)1 << (class + STA__ARENA_MIN_SHIFT));
    arena->free[class] = *(void **)block;
    memset(block, 0, size);
    return block;
}

void sta__arena_free(struct sta__arena *arena, void *block, size_t size)
{
    unsigned class;

    if (!block)
        return;
    if (size > STA__ARENA_SMALL) {
        unmap(block, whole_pages(size));
        return;
    }
    class = size_class(size);
    *(void **)block = arena->free[class];
    sta__store_barrier();
    arena->free[class] = block;
    ASAN_POISON_MEMORY_REGION(block, (size_t)1 << (class + STA__ARENA_MIN_SHIFT));
}

void sta__arena_destroy(struct sta__arena *arena)
{
    while (arena->chunks) {
        struct sta__arena_chunk *chunk = arena->chunks;

        arena->chunks = chunk->next;
        ASAN_UNPOISON_MEMORY_REGION(chunk, chunk->size);
        unmap(chunk, chunk->size);
    }
    *arena = (struct sta__arena){0};
}
