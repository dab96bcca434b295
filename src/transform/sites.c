/* SPDX-License-Identifier: MIT */
#include "transform/site.h"

#include <errno.h>

#include "base/memory.h"
#include "transform/decode.h"

int sta__sites_find(const struct sta__code *code, sta__site_found found, void *data)
{
    const uint8_t *end = (const uint8_t *)code->end;
    int count = 0;

    for (const uint8_t *at = (const uint8_t *)code->start + 5; at + 1 < end; at++) {
        struct sta__site site = {.nr = STA__NR_UNKNOWN, .reason = STA_REASON_NO_MOV};

        if (at[0] != 0x0f || at[1] != 0x05)
            continue;
        site.address = site.patch_at = (uintptr_t)at;
        if (at[-5] == 0xb8 && at[-2] == 0 && at[-1] == 0 && at[-3] < 2) {
            site.method = STA_SITE_MOV;
            site.reason = STA_REASON_NONE;
            site.patch_at -= 5;
            site.patch_size = 5;
            sta__memory_copy(&site.nr, at - 4, 4);
        }
        found(&site, data);
        count++;
    }
    return count;
}

int sta__relocate(uint8_t *out, size_t size, uintptr_t out_address, uintptr_t from, uintptr_t end,
                  intptr_t delta)
{
    (void)out_address;
    (void)delta;
    if (size < end - from)
        return -ENOSPC;
    sta__memory_copy(out, (const void *)from, end - from);
    return (int)(end - from);
}
