/* SPDX-License-Identifier: MIT */
/*
 * Whether .BTF.ext is well formed: what it tells of instructions, in three parts.
 *
 *      header │ functions │ lines │ relocations (CO-RE), which older compilers leave out
 *
 *      part:     │ size of a record │ of a section: │ name │ how many │ records .. │ of the next ..
 *
 * The types have been checked.
 */
#include <errno.h>
#include <linux/btf.h>
#include <stdint.h>
#include <string.h>

#include "bpfcall/object.h"

/* The header as it is since CO-RE; linux/btf.h has none of it. */
struct head {
    uint16_t magic;
    uint8_t version, flags;
    uint32_t hdr_len;
    uint32_t offsets_and_sizes[6];
};

#define HEAD_MIN_SIZE 24 /* without relocations */

struct ext {
    const char *data; /* behind the header */
    size_t size;
    uint32_t strings_size;
    const struct sta__log *log;
};

static const struct {
    const char *name;
    uint32_t record_min;
    unsigned strings[2]; /* which words of a record are names, from 1; 0: none */
} parts[] = {{"functions", 8, {0, 0}}, {"lines", 16, {2, 3}}, {"relocations", 16, {3, 0}}};

static int bad(const struct ext *ext, const char *part, const char *what)
{
    sta__log(ext->log, STA_LOG_ERROR, "BTF.ext: %s: %s", part, what);
    return -EINVAL;
}

static uint32_t word_at(const struct ext *ext, uint32_t offset)
{
    uint32_t word;

    memcpy(&word, ext->data + offset, sizeof(word));
    return word;
}

static bool are_names_good(const struct ext *ext, unsigned part, uint32_t record)
{
    for (unsigned i = 0; i < 2; i++) {
        unsigned word = parts[part].strings[i];

        if (word && word_at(ext, record + (word - 1) * 4) >= ext->strings_size)
            return false;
    }
    return true;
}

static int check_part(const struct ext *ext, unsigned part, uint32_t at, uint32_t size)
{
    uint32_t end = at + size, record_size;

    if (size == 0)
        return 0;
    if (at % 4 || at > ext->size || size > ext->size - at || size < 4)
        return bad(ext, parts[part].name, "they are not there");
    record_size = word_at(ext, at);
    if (record_size < parts[part].record_min || record_size % 4 || record_size > size)
        return bad(ext, parts[part].name, "they are of another size");
    for (at += 4; at < end;) {
        uint32_t count;

        if (end - at < 8 || word_at(ext, at) >= ext->strings_size)
            return bad(ext, parts[part].name, "of a section that is not there");
        count = word_at(ext, at + 4);
        at += 8;
        if (count == 0 || count > (end - at) / record_size)
            return bad(ext, parts[part].name, "they are not all there");
        for (; count > 0; count--, at += record_size) {
            if (!are_names_good(ext, part, at))
                return bad(ext, parts[part].name, "a name is not there");
        }
    }
    return 0;
}

int sta__btf_ext_check(const void *data, size_t size, uint32_t strings_size,
                       const struct sta__log *log)
{
    struct ext ext = {.log = log, .strings_size = strings_size};
    struct head head = {0};
    int err = 0;

    if (size < HEAD_MIN_SIZE)
        return bad(&ext, "header", "it is not all there");
    memcpy(&head, data, HEAD_MIN_SIZE);
    if (head.magic != BTF_MAGIC || head.version != BTF_VERSION || head.flags ||
        head.hdr_len < HEAD_MIN_SIZE || head.hdr_len > size)
        return bad(&ext, "header", "it is none, or of another version");
    memcpy(&head, data, head.hdr_len < sizeof(head) ? head.hdr_len : sizeof(head));
    ext.data = (const char *)data + head.hdr_len;
    ext.size = size - head.hdr_len;
    for (unsigned part = 0; part < 3 && err == 0; part++)
        err = check_part(&ext, part, head.offsets_and_sizes[2 * part],
                         head.offsets_and_sizes[2 * part + 1]);
    return err;
}
