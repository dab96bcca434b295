/* SPDX-License-Identifier: MIT */
/* What helpers leave behind: results, memory, things that were acquired. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ebpf/verify/helper_call.h"

#define MAX_ERRNO 4095

/* The highest number of a processor that there may ever be; -1: not known. */
static int highest_cpu(void)
{
    char text[256];
    int fd = open("/sys/devices/system/cpu/possible", O_RDONLY | O_CLOEXEC);
    ssize_t length = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    const char *last;

    if (fd >= 0)
        close(fd);
    if (length <= 0)
        return -1;
    text[length] = 0; /* "0-7", or "0,2-3" */
    last = strpbrk(text, "-,") ? text + strlen(text) : text;
    while (last > text && last[-1] != '-' && last[-1] != ',')
        last--;
    return *last >= '0' && *last <= '9' ? atoi(last) : -1;
}

static void set_integer(struct sta__verifier *v, const struct sta__helper_call *call)
{
    struct sta__reg *r0 = sta__reg_of(v->state, BPF_REG_0);
    int cpu;

    sta__reg_unknown(v, r0);
    switch (call->id) {
    case BPF_FUNC_get_stack:
    case BPF_FUNC_get_task_stack:
    case BPF_FUNC_probe_read_str:
    case BPF_FUNC_probe_read_kernel_str:
    case BPF_FUNC_probe_read_user_str:
        r0->n.smin = -MAX_ERRNO;
        r0->n.smax = (int64_t)call->memory_size;
        r0->n.smin32 = -MAX_ERRNO;
        r0->n.smax32 = (int32_t)call->memory_size;
        break;
    case BPF_FUNC_get_smp_processor_id:
        cpu = highest_cpu();
        if (cpu < 0)
            return;
        r0->n.smin = r0->n.smin32 = 0;
        r0->n.umax = (uint64_t)cpu;
        r0->n.smax = cpu;
        r0->n.umax32 = (uint32_t)cpu;
        r0->n.smax32 = cpu;
        break;
    default:
        return;
    }
    sta__range_sync(&r0->n);
}

static bool is_never_null(const struct sta__helper_call *call)
{
    /* Arrays in maps may be shorter than the one that the outer map was made with. The kernel does
     * not think of those that are per CPU, and lets programs find NULL there. */
    bool may_be_shorter =
        call->map && (call->map->flags & BPF_F_INNER_MAP ||
                      (call->map->is_inner && call->map->type != BPF_MAP_TYPE_ARRAY));

    return call->id == BPF_FUNC_map_lookup_elem && call->key_is_known &&
           call->key < call->map->max_entries && !may_be_shorter;
}

static int acquire(struct sta__verifier *v, uint32_t id)
{
    struct sta__state *state = v->state;
    struct sta__ref *refs = realloc(state->refs, (state->ref_count + 1) * sizeof(*refs));

    if (!refs)
        return -ENOMEM;
    refs[state->ref_count++] = (struct sta__ref){id, v->insn};
    state->refs = refs;
    return 0;
}

int sta__helper_set_result(struct sta__verifier *v, const struct sta__helper_call *call)
{
    struct sta__reg *r0 = sta__reg_of(v->state, BPF_REG_0);

    switch (call->helper->ret) {
    case STA__RET_VOID:
        return 0;
    case STA__RET_INTEGER:
        set_integer(v, call);
        return 0;
    case STA__RET_MAP_VALUE_OR_NULL:
        if (!call->map)
            return sta__deny(v, -EINVAL, "kernel subsystem misconfigured verifier");
        r0->type = is_never_null(call) ? STA__REG_MAP_VALUE : STA__REG_MAP_VALUE_OR_NULL;
        r0->map = call->map;
        if (!sta__is_or_null(r0->type) && r0->map->has_lock)
            r0->id = sta__new_id(v);
        break;
    case STA__RET_RECORD_OR_NULL:
    case STA__RET_MEM_OR_NULL:
        r0->type = call->helper->ret == STA__RET_MEM_OR_NULL ? STA__REG_MEM_OR_NULL
                                                             : STA__REG_RECORD_OR_NULL;
        r0->size = (uint32_t)call->alloc_size; /* of larger ones, only so much may be used */
        break;
    }
    sta__range_const(&r0->n, 0);
    if (sta__is_or_null(r0->type))
        r0->id = sta__new_id(v);
    r0->dynptr = call->dynptr;
    if (call->helper->ret != STA__RET_RECORD_OR_NULL)
        return 0;
    r0->ref = r0->id;
    return acquire(v, r0->id);
}

static void forget_record(struct sta__verifier *v, struct sta__reg *reg, void *data)
{
    if (reg->ref == *(const uint32_t *)data)
        sta__reg_unknown(v, reg);
}

int sta__helper_release(struct sta__verifier *v, uint32_t id)
{
    struct sta__state *state = v->state;

    for (uint32_t i = 0; i < state->ref_count; i++) {
        if (state->refs[i].id == id) {
            state->refs[i] = state->refs[--state->ref_count];
            sta__each_reg(v, state, forget_record, &id);
            return 0;
        }
    }
    return sta__deny(v, -EINVAL, "func release: reference has not been acquired before");
}

int sta__helper_fill(struct sta__verifier *v, const struct sta__fill *fill)
{
    const struct sta__reg *pointer = sta__reg_of(v->state, fill->reg);
    int32_t start = pointer->off + (int32_t)pointer->n.bits.value;
    struct sta__memory_access a = {.reg = fill->reg, .access = STA__WRITE, .value_reg = -1};

    for (uint32_t done = 0; done < fill->size; done += a.size) {
        bool whole = (start + (int32_t)done) % 8 == 0 && fill->size - done >= 8;
        int err;

        a.off = (int32_t)done;
        a.size = whole ? 8 : 1;
        err = sta__check_access(v, &a);
        if (err)
            return err;
    }
    return 0;
}

int sta__helper_change_dynptr(struct sta__verifier *v, struct sta__helper_call *call)
{
    bool is_record = call->id == BPF_FUNC_ringbuf_reserve_dynptr;
    uint32_t ref = is_record ? sta__new_id(v) : 0;

    if (call->dynptr) {
        call->released = sta__dynptr_end(v, call->dynptr_reg);
        return 0;
    }
    sta__dynptr_make(v, call->dynptr_reg, is_record ? STA__DYNPTR_RING : STA__DYNPTR_LOCAL, ref);
    return is_record ? acquire(v, ref) : 0;
}
