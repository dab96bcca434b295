/* SPDX-License-Identifier: MIT */
#include "transform/stubs.h"

#include <errno.h>
#include <stdbool.h>

#include "base/memory.h"
#include "base/pages.h"
#include "transform/entry.h"
#include "transform/near.h"
#include "transform/text.h"

_Atomic uint8_t sta__interest[256];

/* Room for one site: the instructions that were moved, and the longer of the two forms. */
#define STUB_SIZE_MAX 192

/* At the beginning of the memory that the stubs of a mapping lie in. */
struct region {
    const struct region *next;
    uintptr_t entry, native, interest; /* what the stubs load, to jump to or to look into */
    uintptr_t code_start, code_end;
    size_t size;
};

/* All that were ever made. */
static _Atomic(const struct region *) regions;

/* Where code is being written. */
struct emitter {
    uint8_t *out;
    size_t size, used;
    uintptr_t address; /* at which out[0] will run */
};

static bool emit(struct emitter *emitter, const void *bytes, size_t size)
{
    if (size > emitter->size - emitter->used)
        return false;
    sta__memory_copy(emitter->out + emitter->used, bytes, size);
    emitter->used += size;
    return true;
}

/* An instruction that ends in a displacement to `target`. */
static bool emit_relative(struct emitter *emitter, const void *opcode, size_t size,
                          uintptr_t target)
{
    int64_t distance = (int64_t)(target - (emitter->address + emitter->used + size + 4));
    int32_t short_distance = (int32_t)distance;

    return short_distance == distance && emit(emitter, opcode, size) &&
           emit(emitter, &short_distance, sizeof(short_distance));
}

/* Steps over the red zone, calls what the region's header says, with the address behind the site in
 * rcx, and goes there. */
#define CALL_SIZE 31
static bool emit_call(struct emitter *emitter, uintptr_t resume, size_t slot)
{
    static const uint8_t lea_minus_128_rsp[] = {0x48, 0x8d, 0x64, 0x24, 0x80};
    static const uint8_t lea_rcx[] = {0x48, 0x8d, 0x0d};
    static const uint8_t call_through[] = {0xff, 0x15};
    static const uint8_t lea_128_rsp[] = {0x48, 0x8d, 0xa4, 0x24, 0x80, 0, 0, 0};
    static const uint8_t jump[] = {0xe9};

    return emit(emitter, lea_minus_128_rsp, sizeof(lea_minus_128_rsp)) &&
           emit_relative(emitter, lea_rcx, sizeof(lea_rcx), resume) &&
           emit_relative(emitter, call_through, sizeof(call_through), emitter->address + slot) &&
           emit(emitter, lea_128_rsp, sizeof(lea_128_rsp)) &&
           emit_relative(emitter, jump, sizeof(jump), resume);
}

/* For a number that is not known: goes to the entry only if somebody is interested. */
static bool emit_question(struct emitter *emitter, uintptr_t resume)
{
    static const uint8_t movzx_al_ecx[] = {0x0f, 0xb6, 0xc8};
    static const uint8_t mov_r11[] = {0x4c, 0x8b, 0x1d};
    static const uint8_t look_up[] = {0x41, 0x0f, 0xb6, 0x0c, 0x0b};
    static const uint8_t jrcxz[] = {0xe3, CALL_SIZE};

    return emit(emitter, movzx_al_ecx, sizeof(movzx_al_ecx)) &&
           emit_relative(emitter, mov_r11, sizeof(mov_r11),
                         emitter->address + offsetof(struct region, interest)) &&
           emit(emitter, look_up, sizeof(look_up)) && emit(emitter, jrcxz, sizeof(jrcxz)) &&
           emit_call(emitter, resume, offsetof(struct region, entry)) &&
           emit_call(emitter, resume, offsetof(struct region, native));
}

static bool needs_stub(const struct sta__site *site)
{
    return site->method == STA_SITE_MOV || site->method == STA_SITE_SHORT ||
           site->method == STA_SITE_DETOUR;
}

/* The instructions between two addresses. */
static bool emit_moved(struct emitter *emitter, uintptr_t from, uintptr_t to, intptr_t analysed)
{
    int moved;

    if (from == to)
        return true;
    moved =
        sta__relocate(emitter->out + emitter->used, emitter->size - emitter->used,
                      emitter->address + emitter->used, from + analysed, to + analysed, -analysed);
    if (moved < 0)
        return false;
    emitter->used += (size_t)moved;
    return true;
}

static void begin_stub(struct emitter *emitter)
{
    emitter->used = (emitter->used + 15) & ~(size_t)15;
}

/* Returns where the stub will run that begins at `before`; 0: it could not be made. */
static uintptr_t end_stub(struct emitter *emitter, size_t before, bool made)
{
    if (made)
        return emitter->address + before;
    emitter->used = before;
    return 0;
}

static uintptr_t emit_stub(struct emitter *emitter, const struct sta__site *site, intptr_t analysed)
{
    uintptr_t resume = site->address + 2;
    size_t before;
    bool made;

    begin_stub(emitter);
    before = emitter->used;
    made = emit_moved(emitter, site->patch_at, site->address, analysed) &&
           (site->nr != STA__NR_UNKNOWN ? emit_call(emitter, resume, offsetof(struct region, entry))
                                        : emit_question(emitter, resume));
    return end_stub(emitter, before, made);
}

static uintptr_t emit_displaced(struct emitter *emitter, const struct sta__site *site,
                                intptr_t analysed)
{
    static const uint8_t jump[] = {0xe9};
    uintptr_t behind = site->displaced + site->displaced_size;
    size_t before;

    begin_stub(emitter);
    before = emitter->used;
    return end_stub(emitter, before,
                    emit_moved(emitter, site->displaced, behind, analysed) &&
                        emit_relative(emitter, jump, sizeof(jump), behind));
}

/* Writes the stubs to `draft` as they have to be at `address`. Returns their size. */
static size_t make_draft(const struct sta__stubs_order *order, uint8_t *draft, size_t size,
                         uintptr_t address, struct sta__stub *stubs)
{
    struct emitter emitter = {draft, size, sizeof(struct region), address};
    struct region *region = (struct region *)draft;

    region->entry = (uintptr_t)sta__entry;
    region->native = (uintptr_t)sta__native;
    region->interest = (uintptr_t)sta__interest;
    region->code_start = order->start;
    region->code_end = order->end;
    for (size_t i = 0; i < order->count; i++) {
        const struct sta__site *site = &order->sites[i];

        stubs[i].address = needs_stub(site) ? emit_stub(&emitter, site, order->analysed) : 0;
        stubs[i].displaced = site->displaced ? emit_displaced(&emitter, site, order->analysed) : 0;
    }
    region->size = emitter.used;
    return emitter.used;
}

/* Equal but for the list that they are in. */
static bool is_same(const struct region *a, const struct region *b)
{
    const size_t same = offsetof(struct region, entry);

    return a->size == b->size && sta__memory_is_equal((const uint8_t *)a + same,
                                                      (const uint8_t *)b + same, a->size - same);
}

/* Finds stubs that were made for the same code before. */
static bool use_again(const struct sta__stubs_order *order, uint8_t *draft, size_t size,
                      struct sta__stub *stubs)
{
    /* Acquire: pairs with the store in make_new(). */
    const struct region *region = atomic_load_explicit(&regions, memory_order_acquire);

    for (; region; region = region->next) {
        if (region->code_start != order->start || region->code_end != order->end)
            continue;
        make_draft(order, draft, size, (uintptr_t)region, stubs);
        if (is_same((const struct region *)draft, region))
            return true;
    }
    return false;
}

/* Pages behind the stubs that were made last, for those of code nearby: to find a free place means
 * to read what is mapped where. */
static struct sta__range spare;

#define SPARE_SIZE ((size_t)8 * STA__PAGE_SIZE)

/* Memory for `size` bytes of whole pages; 0: there is none near enough. */
static uintptr_t take_pages(const struct sta__range *code, size_t size)
{
    uintptr_t address = spare.start;

    if (spare.start < spare.end && spare.end - spare.start >= size &&
        sta__near_reaches(code, spare.start, spare.end)) {
        spare.start += size;
        return address;
    }
    address = sta__near_alloc(code, size + SPARE_SIZE);
    if (!address)
        return sta__near_alloc(code, size);
    /* A child that is forked in between has none to spare. */
    spare.end = 0;
    sta__store_barrier();
    spare.start = address + size;
    sta__store_barrier();
    spare.end = address + size + SPARE_SIZE;
    return address;
}

static void give_pages_back(uintptr_t start, uintptr_t end)
{
    if (end == spare.start)
        spare.start = start;
    else if (start < end)
        STA__RAW2(SYS_munmap, start, end - start);
}

/* Memory for what the draft may need at most, or at least for what it does need. Returns its
 * address, or 0. */
static uintptr_t take_for_draft(const struct sta__stubs_order *order, uint8_t *draft, size_t *size,
                                struct sta__stub *stubs)
{
    const struct sta__range code = {order->start, order->end};
    uintptr_t address = take_pages(&code, *size);

    if (address)
        return address;
    /* Any address does to find out the size. */
    *size = sta__page_up(make_draft(order, draft, *size, order->start, stubs));
    return take_pages(&code, *size);
}

static int make_new(const struct sta__stubs_order *order, uint8_t *draft, size_t size,
                    struct sta__stub *stubs)
{
    uintptr_t address = take_for_draft(order, draft, &size, stubs), end = address + size;
    int err;

    if (!address)
        return -ERANGE;
    ((struct region *)draft)->next = atomic_load_explicit(&regions, memory_order_relaxed);
    size = sta__page_up(make_draft(order, draft, size, address, stubs));
    give_pages_back(address + size, end);
    err = sta__text_fill(address, draft, size);
    if (err < 0) {
        give_pages_back(address, address + size);
        return err;
    }
    /* Release: who finds it finds it filled. */
    atomic_store_explicit(&regions, (const struct region *)address, memory_order_release);
    return 0;
}

int sta__stubs_make(const struct sta__stubs_order *order, struct sta__stub *stubs)
{
    size_t size = sta__page_up(sizeof(struct region) + order->count * STUB_SIZE_MAX);
    uint8_t *draft = sta__pages_alloc(size);
    int err = 0;

    if (!draft)
        return -ENOMEM;
    if (!use_again(order, draft, size, stubs))
        err = make_new(order, draft, size, stubs);
    sta__pages_free(draft, size);
    return err;
}
