/* SPDX-License-Identifier: MIT */
/* Helpers in a checked run: what they touch is looked at, what they return is anything. */
#include "ebpf/helper.h"
#include "verifier/concrete_run.h"

static uint64_t call_back(struct run *r, uint32_t subprog, const uint64_t args[4])
{
    uint64_t saved[11], result;

    memcpy(saved, r->regs, sizeof(saved));
    memcpy(&r->regs[1], args, 4 * sizeof(args[0]));
    r->callbacks++;
    concrete_run_subprog(r, subprog);
    r->callbacks--;
    result = r->regs[0];
    memcpy(r->regs, saved, sizeof(saved));
    if (!r->is_over && !r->wrong && result > 1)
        r->wrong = "a callback's result other than 0 and 1";
    return result;
}

uint64_t concrete_value_of(struct run *r, const struct sta_map *map)
{
    char *at = r->values[any(r) % 8];

    if (map->values && map->max_entries == 1)
        at = map->values;
    if (map->has_lock && !map->values)
        at = r->locked[any(r) % 4];
    add_region(r, at, map->value_size, map->flags & BPF_F_RDONLY_PROG);
    for (uint32_t i = 0; map->has_lock && i < r->region_count; i++) {
        if (r->regions[i].at == (uint64_t)(uintptr_t)at)
            r->regions[i].lock_end = map->lock_at + 4;
    }
    return (uint64_t)(uintptr_t)at;
}

/* ---- locks ---- */

static void take_lock(struct run *r, uint64_t at)
{
    bool is_lock = false;

    for (uint32_t i = 0; i < r->region_count; i++)
        is_lock |= r->regions[i].lock_end && at == r->regions[i].at + r->regions[i].lock_end - 4;
    if (!is_lock)
        r->wrong = "a lock that is none";
    r->held = at;
}

static void give_lock(struct run *r, uint64_t at)
{
    if (r->held != at)
        r->wrong = "a lock given back that was not held";
    r->held = 0;
}

static uint64_t lookup(struct run *r, const struct sta_map *map, uint64_t key)
{
    bool is_array = map->type == BPF_MAP_TYPE_ARRAY || map->type == BPF_MAP_TYPE_PERCPU_ARRAY;

    check(r, key, map->key_size, false);
    if (r->wrong)
        return 0;
    if (map->inner)
        return any(r) % 3 ? (uint64_t)(uintptr_t)map->inner : 0;
    if (is_array ? load(r, key, 4) >= map->max_entries : any(r) % 3 == 0)
        return 0;
    return concrete_value_of(r, map);
}

static uint64_t reserve(struct run *r, uint64_t size)
{
    if (size > sizeof(r->records[0]) - GAP || r->record_count == 8 || any(r) % 4 == 0)
        return 0;
    return add_region(r, r->records[r->record_count++], size, false);
}

static void submit(struct run *r, uint64_t record)
{
    for (uint32_t i = 0; i < r->region_count; i++) {
        if (r->regions[i].at == record) {
            r->regions[i] = r->regions[--r->region_count];
            return;
        }
    }
    r->wrong = "a record submitted that is none";
}

static uint64_t loop(struct run *r)
{
    uint64_t times = r->regs[1] & 0xffffffff, args[4] = {0, r->regs[3]};
    uint32_t subprog = (uint32_t)(r->regs[2] - FUNC_BASE);

    for (uint64_t i = 0; i < times && !r->wrong && !r->is_over; i++) {
        args[0] = i;
        if (call_back(r, subprog, args))
            return i + 1;
    }
    return times;
}

static uint64_t for_each(struct run *r)
{
    const struct sta_map *map = (const struct sta_map *)(uintptr_t)r->regs[1];
    uint32_t subprog = (uint32_t)(r->regs[2] - FUNC_BASE);

    for (int i = 0; i < 3 && !r->wrong && !r->is_over; i++) {
        uint64_t args[4] = {r->regs[1], add_region(r, r->key, map->key_size, true),
                            concrete_value_of(r, map), r->regs[3]};

        if (call_back(r, subprog, args))
            break;
    }
    return 0;
}

/* ---- dynptrs ---- */

/* Writes one there; what is in its bytes is nothing that programs may look at. */
static void make_dynptr(struct run *r, uint64_t at, uint64_t data, uint64_t size, bool is_record)
{
    uint32_t i = 0;

    if (at % 8)
        r->wrong = "a dynptr that is not aligned";
    fill(r, at, 16);
    while (i < r->dynptr_count && r->dynptrs[i].at != at)
        i++;
    if (i == DYNPTRS_MAX)
        r->is_over = true;
    if (r->wrong || r->is_over)
        return;
    r->dynptrs[i].at = at;
    memcpy(r->dynptrs[i].bytes, (void *)(uintptr_t)at, 16);
    r->dynptrs[i].data = data;
    r->dynptrs[i].size = data ? size : 0;
    r->dynptrs[i].is_record = is_record;
    if (i == r->dynptr_count)
        r->dynptr_count++;
}

/* Which it is, of those that nobody has written to. */
static int find_dynptr(struct run *r, uint64_t at)
{
    for (uint32_t i = 0; i < r->dynptr_count; i++) {
        if (r->dynptrs[i].at == at && check(r, at, 16, false) &&
            memcmp(r->dynptrs[i].bytes, (void *)(uintptr_t)at, 16) == 0)
            return (int)i;
    }
    r->wrong = "a dynptr that is none";
    return -1;
}

static bool is_in_dynptr(struct run *r, int i, uint32_t offset, uint32_t size)
{
    return r->dynptrs[i].data && size <= r->dynptrs[i].size && offset <= r->dynptrs[i].size - size;
}

static uint64_t reserve_dynptr(struct run *r)
{
    uint32_t size = (uint32_t)r->regs[2];
    uint64_t record = r->regs[3] ? 0 : reserve(r, size);

    make_dynptr(r, r->regs[4], record, size, true);
    return record ? 0 : (uint64_t)-22;
}

static uint64_t end_dynptr(struct run *r)
{
    int i = find_dynptr(r, r->regs[1]);

    if (i < 0)
        return 0;
    if (!r->dynptrs[i].is_record)
        r->wrong = "a dynptr given back that was none of a record";
    else if (r->dynptrs[i].data)
        submit(r, r->dynptrs[i].data);
    r->dynptrs[i] = r->dynptrs[--r->dynptr_count];
    return any(r);
}

static uint64_t dynptr_data(struct run *r)
{
    int i = find_dynptr(r, r->regs[1]);

    if (i < 0 || !is_in_dynptr(r, i, (uint32_t)r->regs[2], (uint32_t)r->regs[3]))
        return 0;
    return r->dynptrs[i].data + (uint32_t)r->regs[2];
}

static uint64_t copy_dynptr(struct run *r, int dynptr, uint32_t offset, uint64_t size, bool writes)
{
    int i = find_dynptr(r, r->regs[dynptr]);

    if (i >= 0 && is_in_dynptr(r, i, offset, (uint32_t)size))
        check(r, r->dynptrs[i].data + offset, size, writes);
    return any(r);
}

/* What each helper reads and writes is in its prototype; what it returns, if it matters, here. */
uint64_t concrete_call_helper(struct run *r, int32_t id)
{
    const struct sta__helper *helper = sta__helper_find(id);
    const struct sta_map *map = NULL;

    if (r->held && id != BPF_FUNC_spin_unlock)
        r->wrong = "a helper called under a lock";

    for (int i = 0; helper && i < 5 && helper->args[i] && !r->wrong; i++) {
        uint64_t value = r->regs[1 + i], next = i < 4 ? r->regs[2 + i] : 0;

        switch (helper->args[i]) {
        case STA__ARG_MAP:
            map = (const struct sta_map *)(uintptr_t)value;
            break;
        case STA__ARG_MAP_VALUE:
            check(r, value, map->value_size, false);
            break;
        case STA__ARG_UNINIT_MAP_VALUE:
            fill(r, value, map->value_size);
            break;
        case STA__ARG_MEM:
        case STA__ARG_MEM_OR_NULL:
            check(r, value, next, false);
            break;
        case STA__ARG_UNINIT_MEM:
        case STA__ARG_WRITABLE_MEM:
        case STA__ARG_WRITABLE_MEM_OR_NULL:
            fill(r, value, next);
            break;
        case STA__ARG_LONG_OUT:
            fill(r, value, 8);
            break;
        default:
            break;
        }
    }
    switch (id) {
    case BPF_FUNC_map_lookup_elem:
    case BPF_FUNC_map_lookup_percpu_elem:
        return lookup(r, map, r->regs[2]);
    case BPF_FUNC_ringbuf_reserve:
        return reserve(r, r->regs[2]);
    case BPF_FUNC_ringbuf_submit:
    case BPF_FUNC_ringbuf_discard:
        submit(r, r->regs[1]);
        return any(r);
    case BPF_FUNC_probe_read_str:
    case BPF_FUNC_probe_read_user_str:
    case BPF_FUNC_probe_read_kernel_str:
    case BPF_FUNC_get_stack:
        return any(r) % 2 ? (uint64_t)-14 : any(r) % (r->regs[2] + 1);
    case BPF_FUNC_get_smp_processor_id:
        return 0;
    case BPF_FUNC_spin_lock:
        take_lock(r, r->regs[1]);
        return any(r);
    case BPF_FUNC_spin_unlock:
        give_lock(r, r->regs[1]);
        return any(r);
    case BPF_FUNC_dynptr_from_mem:
        check(r, r->regs[1], r->regs[2], true);
        make_dynptr(r, r->regs[4], r->regs[3] ? 0 : r->regs[1], r->regs[2], false);
        return any(r);
    case BPF_FUNC_ringbuf_reserve_dynptr:
        return reserve_dynptr(r);
    case BPF_FUNC_ringbuf_submit_dynptr:
    case BPF_FUNC_ringbuf_discard_dynptr:
        return end_dynptr(r);
    case BPF_FUNC_dynptr_data:
        return dynptr_data(r);
    case BPF_FUNC_dynptr_read:
        return copy_dynptr(r, 3, (uint32_t)r->regs[4], r->regs[2], false);
    case BPF_FUNC_dynptr_write:
        return copy_dynptr(r, 1, (uint32_t)r->regs[2], r->regs[4], true);
    case BPF_FUNC_loop:
        return loop(r);
    case BPF_FUNC_for_each_map_elem:
        return for_each(r);
    default:
        return any(r);
    }
}
