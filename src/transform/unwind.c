/* SPDX-License-Identifier: MIT */
#include "transform/unwind.h"

#include <errno.h>

/* Pointer encodings (LSB, "DWARF Exception Header Encoding"): how many bytes, and counted from
 * where. */
#define ENC_ABSPTR  0x00
#define ENC_UDATA2  0x02
#define ENC_UDATA4  0x03
#define ENC_UDATA8  0x04
#define ENC_SDATA2  0x0a
#define ENC_SDATA4  0x0b
#define ENC_SDATA8  0x0c
#define ENC_FORMAT  0x0f
#define ENC_PCREL   0x10
#define ENC_DATAREL 0x30
#define ENC_BASE    0x70
#define ENC_OMIT    0xff

#define HEADER_VERSION 1
#define ENTRY_SIZE     8

/* Something that is read from front to back. Reading past the end gives zeros and clears `ok`. */
struct cursor {
    uintptr_t at, end;
    bool ok;
};

/* 1, 2, 4 or 8 bytes. */
static uint64_t read_bytes(struct cursor *cursor, unsigned size)
{
    const uint8_t *bytes = (const uint8_t *)cursor->at;
    uint16_t half;
    uint32_t word;
    uint64_t value;

    if (!cursor->ok || cursor->end - cursor->at < size) {
        cursor->ok = false;
        return 0;
    }
    cursor->at += size;
    switch (size) {
    case 1:
        return bytes[0];
    case 2:
        __builtin_memcpy(&half, bytes, sizeof(half));
        return half;
    case 4:
        __builtin_memcpy(&word, bytes, sizeof(word));
        return word;
    }
    __builtin_memcpy(&value, bytes, sizeof(value));
    return value;
}

static uint64_t read_uleb(struct cursor *cursor)
{
    uint64_t value = 0;
    uint8_t byte;

    for (unsigned shift = 0; shift < 64; shift += 7) {
        byte = (uint8_t)read_bytes(cursor, 1);
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80))
            return value;
    }
    cursor->ok = false;
    return 0;
}

/* A value without its base. */
static uint64_t read_value(struct cursor *cursor, uint8_t encoding)
{
    switch (encoding & ENC_FORMAT) {
    case ENC_UDATA2:
        return read_bytes(cursor, 2);
    case ENC_UDATA4:
        return read_bytes(cursor, 4);
    case ENC_SDATA2:
        return (uint64_t)(int16_t)read_bytes(cursor, 2);
    case ENC_SDATA4:
        return (uint64_t)(int32_t)read_bytes(cursor, 4);
    case ENC_ABSPTR:
    case ENC_UDATA8:
    case ENC_SDATA8:
        return read_bytes(cursor, 8);
    default:
        cursor->ok = false;
        return 0;
    }
}

static uintptr_t read_pointer(struct cursor *cursor, uint8_t encoding, uintptr_t header)
{
    uintptr_t field = cursor->at;
    uintptr_t value = read_value(cursor, encoding);

    switch (encoding & ENC_BASE) {
    case 0:
        return value;
    case ENC_PCREL:
        return value + field;
    case ENC_DATAREL:
        return value + header;
    default:
        cursor->ok = false;
        return 0;
    }
}

static struct cursor cursor_at(const struct sta__unwind *unwind, uintptr_t at)
{
    return (struct cursor){at, unwind->high, at >= unwind->low && at <= unwind->high};
}

int sta__unwind_open(struct sta__unwind *out, uintptr_t header, uintptr_t low, uintptr_t high)
{
    uint8_t version, frame_encoding, count_encoding, table_encoding;
    struct cursor cursor;

    *out = (struct sta__unwind){.low = low, .high = high, .header = header};
    cursor = cursor_at(out, header);
    version = (uint8_t)read_bytes(&cursor, 1);
    frame_encoding = (uint8_t)read_bytes(&cursor, 1);
    count_encoding = (uint8_t)read_bytes(&cursor, 1);
    table_encoding = (uint8_t)read_bytes(&cursor, 1);
    if (!cursor.ok || version != HEADER_VERSION)
        return -EINVAL;
    if (count_encoding == ENC_OMIT || table_encoding != (ENC_DATAREL | ENC_SDATA4))
        return -ENOTSUP;
    read_pointer(&cursor, frame_encoding, header);
    out->count = read_value(&cursor, count_encoding);
    out->table = cursor.at;
    if (!cursor.ok || out->count > (high - cursor.at) / ENTRY_SIZE)
        return -EINVAL;
    return 0;
}

/* How the addresses in the descriptions of this CIE are encoded. */
static bool read_cie(const struct sta__unwind *unwind, uintptr_t cie, uint8_t *encoding)
{
    struct cursor cursor = cursor_at(unwind, cie);
    uint64_t length = read_bytes(&cursor, 4);
    char augmentation[8];
    unsigned count = 0;

    if (length == 0xffffffff)
        read_bytes(&cursor, 8);
    if (read_bytes(&cursor, length == 0xffffffff ? 8 : 4) != 0)
        return false;
    read_bytes(&cursor, 1); /* version */
    do {
        if (count == sizeof(augmentation))
            return false;
        augmentation[count] = (char)read_bytes(&cursor, 1);
    } while (augmentation[count++]);
    read_uleb(&cursor); /* code alignment */
    read_uleb(&cursor); /* data alignment: signed, but of the same length */
    read_uleb(&cursor); /* return address register */
    *encoding = ENC_ABSPTR;
    if (augmentation[0] != 'z')
        return cursor.ok && augmentation[0] == '\0';
    read_uleb(&cursor); /* size of what follows */
    for (unsigned i = 1; augmentation[i] && cursor.ok; i++) {
        uint8_t personality;

        switch (augmentation[i]) {
        case 'R':
            *encoding = (uint8_t)read_bytes(&cursor, 1);
            return cursor.ok;
        case 'P':
            personality = (uint8_t)read_bytes(&cursor, 1);
            read_value(&cursor, personality);
            break;
        case 'L':
            read_bytes(&cursor, 1);
            break;
        case 'S': /* a signal frame; B and G carry no data either */
        case 'B':
        case 'G':
            break;
        default:
            return false;
        }
    }
    return cursor.ok;
}

static bool read_fde(const struct sta__unwind *unwind, uintptr_t fde, struct sta__function *out)
{
    struct cursor cursor = cursor_at(unwind, fde);
    uint64_t length = read_bytes(&cursor, 4);
    uintptr_t field;
    uint64_t distance, size;
    uint8_t encoding;

    if (length == 0xffffffff)
        length = read_bytes(&cursor, 8);
    if (length == 0)
        return false;
    field = cursor.at;
    distance = read_bytes(&cursor, 4);
    if (!cursor.ok || distance == 0 || distance > field - unwind->low ||
        !read_cie(unwind, field - distance, &encoding))
        return false;
    out->start = read_pointer(&cursor, encoding, unwind->header);
    size = read_value(&cursor, encoding & ENC_FORMAT);
    out->end = out->start + size;
    return cursor.ok && out->end > out->start;
}

/* One of the two numbers of a table entry, as an address. The table lies in readable memory, and is
 * of the one encoding that sta__unwind_open() takes. */
static uintptr_t entry(const struct sta__unwind *unwind, size_t index, unsigned which)
{
    int32_t distance;

    __builtin_memcpy(&distance,
                     (const void *)(unwind->table + index * ENTRY_SIZE + which * sizeof(distance)),
                     sizeof(distance));
    return unwind->header + (uintptr_t)(intptr_t)distance;
}

bool sta__unwind_function(const struct sta__unwind *unwind, size_t index, struct sta__function *out)
{
    return index < unwind->count && read_fde(unwind, entry(unwind, index, 1), out) &&
           out->start == entry(unwind, index, 0);
}

size_t sta__unwind_index(const struct sta__unwind *unwind, uintptr_t address)
{
    size_t low = 0, high = unwind->count; /* the entry is before `high`, and not before `low` - 1 */

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (entry(unwind, middle, 0) <= address)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

bool sta__unwind_find(const struct sta__unwind *unwind, uintptr_t address,
                      struct sta__function *out)
{
    size_t index = sta__unwind_index(unwind, address);

    return index > 0 && sta__unwind_function(unwind, index - 1, out) && address < out->end;
}
