/* SPDX-License-Identifier: MIT */
/* On the dispatch path: see task.h. */
#include "ebpf/task.h"

#include "base/compiler.h"
#include "base/memory.h"

#define TASK_ROOM   0x10000u
#define OTHER_ROOM  0x2000u
#define OFFSET_MASK ((UINT64_C(1) << STA__TASK_BITS) - 1)

uint32_t sta__task_offsets[STA__TASK_FIELDS] = {
#define FIELD(name, object, size, at, structure, member) at,
#include "ebpf/task_fields.h"
#undef FIELD
};

static const struct {
    uint8_t object;
    uint16_t size;
} fields[] = {
#define FIELD(name, object, size, at, structure, member) {STA__TASK_##object, size},
#include "ebpf/task_fields.h"
#undef FIELD
};

/* An address, taken apart. */
struct place {
    uint32_t who;
    uint32_t object;
    uint32_t offset;
    uint32_t room; /* bytes from there to the object's end */
};

static bool find_place(uint64_t address, struct place *place)
{
    uint64_t in_image = address - STA__TASK_BASE;
    uint32_t at = (uint32_t)(in_image & OFFSET_MASK);

    if (in_image >= STA__TASK_SPAN)
        return false;
    place->who = (uint32_t)(in_image >> STA__TASK_BITS);
    if (at < TASK_ROOM) {
        place->object = STA__TASK_TASK;
        place->offset = at;
        place->room = TASK_ROOM - at;
        return true;
    }
    place->object = 1 + (at - TASK_ROOM) / OTHER_ROOM;
    place->offset = (at - TASK_ROOM) % OTHER_ROOM;
    place->room = OTHER_ROOM - place->offset;
    return place->object < STA__TASK_OBJECTS;
}

/* Mostly a few bytes, for which the string instruction takes too long to begin. */
static void clear(char *memory, uint32_t size)
{
    typedef uint64_t __attribute__((may_alias, aligned(1))) word;

    for (; size >= sizeof(word); memory += sizeof(word), size -= (uint32_t)sizeof(word)) {
        *(word *)memory = 0;
        __asm__ volatile("" : : : "memory");
    }
    for (; size > 0; size--) {
        *memory++ = 0;
        __asm__ volatile("" : : : "memory");
    }
}

static uint32_t max(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

static uint32_t min(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* Apart, so that the room for a value is not on the stack of reads that find none. */
static STA__NOINLINE void read_field(char *to, const struct place *place, uint32_t size,
                                     unsigned field)
{
    uint32_t begin = sta__task_offsets[field], end = begin + fields[field].size;
    uint32_t from = max(begin, place->offset), until = min(end, place->offset + size);
    _Alignas(8) char value[STA__TASK_FIELD_MAX];

    clear(value, fields[field].size);
    sta__task_value((enum sta__task_field)field, place->who, value);
    sta__memory_copy(to + (from - place->offset), value + (from - begin), until - from);
}

static bool overlaps(const struct place *place, uint32_t size, unsigned field)
{
    uint32_t begin = sta__task_offsets[field];

    return fields[field].object == place->object && begin != STA__TASK_ABSENT &&
           begin < place->offset + size && place->offset < begin + fields[field].size;
}

bool sta__task_read(void *to, uint64_t address, uint32_t size)
{
    struct place place;

    if (!find_place(address, &place) || size > place.room)
        return false;
    clear(to, size);
    /* They are in the order of objects, and task_struct's come first. */
    for (unsigned field = 0; field < STA__TASK_FIELDS && fields[field].object <= place.object;
         field++) {
        if (overlaps(&place, size, field))
            read_field(to, &place, size, field);
    }
    return true;
}
