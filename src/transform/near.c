/* SPDX-License-Identifier: MIT */
#include "transform/near.h"

#include <errno.h>

#include "transform/maps.h"

#define REACH ((uintptr_t)0x7fff0000)
/* Nothing of ours below: that is where wild pointers of the application point to. */
#define LOWEST  ((uintptr_t)1024 * 1024)
#define HIGHEST ((uintptr_t)0x7ffffffff000)
/* Another thread may take the memory that was found to be free. */
#define ATTEMPTS 8

struct search {
    struct sta__range reach; /* what is near enough */
    uintptr_t code_start;
    size_t size;
    uintptr_t previous_end; /* of the last mapping */
    uintptr_t found;        /* 0: nothing so far */
};

/* The upper end of a gap is taken: at its lower end the heap may want to grow. */
static uintptr_t place_in(const struct search *search, uintptr_t start, uintptr_t end)
{
    if (start < search->reach.start)
        start = search->reach.start;
    if (end > search->reach.end)
        end = search->reach.end;
    return start < end && end - start >= search->size ? end - search->size : 0;
}

static bool is_stack(const char *path)
{
    return path[0] == '[' && path[1] == 's' && path[2] == 't' && path[3] == 'a';
}

/* Below the code the nearest gap, and if there is none the first one above. A stack grows down. */
static bool look_at(const struct sta__map *map, void *data)
{
    struct search *search = data;
    uintptr_t place;

    if (search->found && search->previous_end > search->code_start)
        return false;
    place = is_stack(map->path) ? 0 : place_in(search, search->previous_end, map->start);
    if (place)
        search->found = place;
    search->previous_end = map->end;
    return true;
}

static struct sta__range reach_of(const struct sta__range *code)
{
    return (struct sta__range){
        .start = code->end > REACH + LOWEST ? code->end - REACH : LOWEST,
        .end = code->start < HIGHEST - REACH ? code->start + REACH : HIGHEST,
    };
}

bool sta__near_reaches(const struct sta__range *code, uintptr_t start, uintptr_t end)
{
    struct sta__range reach = reach_of(code);

    return start >= reach.start && end <= reach.end;
}

static uintptr_t find(const struct sta__range *code, size_t size)
{
    struct search search = {.reach = reach_of(code), .code_start = code->start, .size = size};

    if (sta__maps_each(look_at, &search) < 0)
        return 0;
    return search.found;
}

uintptr_t sta__near_alloc(const struct sta__range *code, size_t size)
{
    for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
        uintptr_t place = find(code, size);
        int64_t got;

        if (!place)
            return 0;
        got = STA__RAW6(SYS_mmap, place, size, PROT_READ | PROT_EXEC,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
        if (got == (int64_t)place)
            return place;
        if (!sta__is_error(got)) /* a kernel that takes the address for a hint */
            STA__RAW2(SYS_munmap, got, size);
    }
    return 0;
}
