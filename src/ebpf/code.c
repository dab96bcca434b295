/* SPDX-License-Identifier: MIT */
#include "ebpf/code.h"

#include <stdlib.h>

void sta__code_free(struct sta__code *code)
{
    free(code->insns);
    free(code->marks);
    free(code->wides);
    free(code->wide);
    free(code->subprogs);
    for (uint32_t i = 0; i < code->map_count; i++)
        sta__map_put(code->maps[i]);
    free(code->maps);
    *code = (struct sta__code){0};
}

uint32_t sta__code_subprog_at(const struct sta__code *code, uint32_t insn)
{
    uint32_t low = 0, high = code->subprog_count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (code->subprogs[middle].start < insn)
            low = middle + 1;
        else
            high = middle;
    }
    return low < code->subprog_count && code->subprogs[low].start == insn ? low : UINT32_MAX;
}
