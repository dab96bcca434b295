/* SPDX-License-Identifier: MIT */
/* See verifier_text.h. */
#include "bpfcall/verifier_text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bpfcall/user.h"

#define LEVEL_FIXED       8u /* the beginning is kept, where there is no room for all */
#define LEVEL_MASK        15u
#define ROOM_MIN          ((size_t)16 << 20) /* so that we know how much there is in all */
#define LOG_TRUE_SIZE_AT  140
#define LOG_TRUE_SIZE_END (LOG_TRUE_SIZE_AT + sizeof(uint32_t))

static int check(const union bpf_attr *attr)
{
    if (!attr->log_buf != !attr->log_size)
        return -EINVAL;
    if (attr->log_buf && !attr->log_level)
        return -EINVAL;
    return attr->log_level & ~LEVEL_MASK || attr->log_size > UINT32_MAX >> 2 ? -EINVAL : 0;
}

int sta__verifier_text_begin(struct sta__verifier_text *text, const struct sta__command *command)
{
    const union bpf_attr *attr = &command->attr;

    text->text = NULL;
    text->room = attr->log_size > ROOM_MIN ? attr->log_size : ROOM_MIN;
    if (check(attr) < 0)
        return sta__command_refuse(command, -EINVAL, "a log without room, or room without a log");
    if (!attr->log_level)
        return 0;
    text->text = malloc(text->room);
    if (!text->text)
        return -ENOMEM;
    text->text[0] = '\0';
    return 0;
}

uint32_t sta__verifier_text_level(uint32_t log_level)
{
    uint32_t level =
        log_level & (STA_VERIFIER_LOG_STATE | STA_VERIFIER_LOG_FULL | STA_VERIFIER_LOG_STATS);

    return level || !log_level ? level : STA_VERIFIER_LOG_STATS;
}

/* `size` is with the zero. */
static int copy_out(char *text, uint32_t size, const union bpf_attr *attr)
{
    uint32_t room = attr->log_size;

    if (size <= room)
        return sta__user_write(attr->log_buf, text, size);
    if (attr->log_level & LEVEL_FIXED) {
        text[room - 1] = '\0';
        return sta__user_write(attr->log_buf, text, room);
    }
    return sta__user_write(attr->log_buf, text + size - room, room);
}

int sta__verifier_text_end(struct sta__verifier_text *text, const struct sta__command *command)
{
    const union bpf_attr *attr = &command->attr;
    uint32_t size = 0;
    int err = 0;

    if (text->text) {
        size = (uint32_t)strlen(text->text) + 1;
        if (attr->log_buf)
            err = copy_out(text->text, size, attr);
        free(text->text);
    }
    if (err == 0 && command->user_size >= LOG_TRUE_SIZE_END)
        err = sta__command_put(command, LOG_TRUE_SIZE_AT, &size, sizeof(size));
    if (err == 0 && attr->log_buf && size > attr->log_size)
        err = -ENOSPC;
    return err;
}
