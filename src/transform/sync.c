/* SPDX-License-Identifier: MIT */
#include "transform/sync.h"

#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>

#include "attach/registry.h"
#include "base/memory.h"
#include "base/pages.h"
#include "transform/entry.h"
#include "transform/exec.h"
#include "transform/newcode.h"
#include "transform/signals.h"

#define OPCODE_NEAR_JUMP  0xe9
#define OPCODE_SHORT_JUMP 0xeb

/* What a site needs besides its own change: its landing, its hops, a displaced instruction. */
#define OTHERS_MAX (2 + STA__HOP_MAX)

/* The changes to one image, as they are collected. */
struct batch {
    struct sta__change *changes;
    size_t count;
};

static void near_jump(uint8_t *out, uintptr_t from, uintptr_t to)
{
    int32_t distance = (int32_t)(to - (from + STA__NEAR_JUMP_SIZE));

    out[0] = OPCODE_NEAR_JUMP;
    sta__memory_copy(out + 1, &distance, sizeof(distance));
}

static void short_jump(uint8_t *out, uintptr_t from, uintptr_t to)
{
    out[0] = OPCODE_SHORT_JUMP;
    out[1] = (uint8_t)(to - (from + STA__SHORT_JUMP_SIZE));
}

/* Where the site's short jump leads, for 0, or that of hop number `jump` - 1. */
static uintptr_t next_on_way(const struct sta__site *site, unsigned jump)
{
    return jump < STA__HOP_MAX && site->hops[jump] ? site->hops[jump] : site->landing;
}

/* The bytes of a rewritten site. Returns how many. */
static uint8_t rewritten(const struct sta__image_site *site, uint8_t *out)
{
    const struct sta__site *found = &site->site;

    if (found->method == STA_SITE_SHORT) {
        short_jump(out, found->patch_at, next_on_way(found, 0));
        return STA__SHORT_JUMP_SIZE;
    }
    if (found->method == STA_SITE_TRAP) {
        out[0] = 0x0f; /* ud2 */
        out[1] = 0x0b;
        return 2;
    }
    near_jump(out, found->patch_at, site->stub.address);
    return STA__NEAR_JUMP_SIZE;
}

static bool is_rewritable(const struct sta__image_site *site)
{
    return site->site.method != STA_SITE_LEFT;
}

/* Whether what is there is what rewriting it makes of it. */
static bool is_as_rewritten(const struct sta__image_site *site)
{
    uint8_t bytes[STA__NEAR_JUMP_SIZE];

    return sta__memory_is_equal((const void *)site->site.patch_at, bytes, rewritten(site, bytes));
}

bool sta__sync_is_rewritten(const struct sta__image *image, const struct sta__image_site *site)
{
    return !image->is_hidden && is_rewritable(site) && is_as_rewritten(site);
}

/* Calls that the library itself has to do something about, whatever is attached. */
static bool is_needed(int32_t nr)
{
    if ((nr == SYS_execve || nr == SYS_execveat) &&
        atomic_load_explicit(&sta__exec_follow, memory_order_acquire))
        return true;
    return sta__newcode_concerns(nr) || sta__signals_concern(nr);
}

static bool wants_all;

void sta__sync_want_all(bool all)
{
    wants_all = all;
}

static bool is_wanted(struct sta *sta, int32_t nr)
{
    if (!sta)
        return false;
    if (wants_all)
        return true;
    /* Acquire: as in the dispatcher. */
    return nr == STA__NR_UNKNOWN || is_needed(nr) ||
           atomic_load_explicit(&sta__hooks_of(sta, nr)->active, memory_order_acquire) != 0;
}

/* Adds a change unless nothing is to be changed. */
static void add(struct batch *batch, uintptr_t at, size_t size, const void *from, const void *to)
{
    struct sta__change *change = &batch->changes[batch->count];

    if (sta__memory_is_equal((const void *)at, to, size))
        return;
    change->at = at;
    change->size = (uint8_t)size;
    sta__memory_copy(change->from, from, size);
    sta__memory_copy(change->to, to, size);
    batch->count++;
}

static void add_site(struct batch *batch, const struct sta__image_site *site, bool wanted)
{
    uint8_t bytes[STA__NEAR_JUMP_SIZE];
    uint8_t size = rewritten(site, bytes);

    if (wanted)
        add(batch, site->site.patch_at, size, site->original, bytes);
    else
        add(batch, site->site.patch_at, size, bytes, site->original);
}

/* Adds a jump in padding; or to the first of the changes, which is that of the displaced
 * instruction, if it lies in there. Returns how many changes there are now. */
static unsigned add_jump(struct sta__change *changes, unsigned count, uintptr_t at, uint8_t size,
                         const uint8_t *original, const uint8_t *jump)
{
    struct sta__change *change = &changes[count];

    if (count > 0 && at - changes->at < changes->size) {
        sta__memory_copy(changes->to + (at - changes->at), jump, size);
        return count;
    }
    change->at = at;
    change->size = size;
    sta__memory_copy(change->from, original, size);
    sta__memory_copy(change->to, jump, size);
    return count + 1;
}

/* What a site with a short jump needs elsewhere: at most OTHERS_MAX changes. Returns how many. */
static unsigned others_of(const struct sta__image_site *site, struct sta__change *out)
{
    const struct sta__site *found = &site->site;
    uint8_t jump[STA__CHANGE_MAX];
    unsigned count = 0;

    if (found->displaced) {
        sta__memory_copy(jump, site->displaced_original, found->displaced_size);
        near_jump(jump, found->displaced, site->stub.displaced);
        count = add_jump(out, count, found->displaced, found->displaced_size,
                         site->displaced_original, jump);
    }
    near_jump(jump, found->landing, site->stub.address);
    count = add_jump(out, count, found->landing, STA__NEAR_JUMP_SIZE, site->landing_original, jump);
    for (unsigned i = 0; i < STA__HOP_MAX && found->hops[i]; i++) {
        short_jump(jump, found->hops[i], next_on_way(found, i + 1));
        count = add_jump(out, count, found->hops[i], STA__SHORT_JUMP_SIZE, site->hop_originals[i],
                         jump);
    }
    return count;
}

/* Those, made or taken back. */
static void add_others(struct batch *batch, const struct sta__image_site *site, bool restored)
{
    struct sta__change others[OTHERS_MAX];
    unsigned count = others_of(site, others);

    for (unsigned i = 0; i < count; i++) {
        if (restored)
            add(batch, others[i].at, others[i].size, others[i].to, others[i].from);
        else
            add(batch, others[i].at, others[i].size, others[i].from, others[i].to);
    }
}

/* Nearly sorted already. */
static void sort(struct batch *batch)
{
    struct sta__change moved;

    for (size_t i = 1; i < batch->count; i++) {
        size_t at = i;

        if (batch->changes[i - 1].at <= batch->changes[i].at)
            continue;
        moved = batch->changes[i];
        for (; at > 0 && batch->changes[at - 1].at > moved.at; at--)
            batch->changes[at] = batch->changes[at - 1];
        batch->changes[at] = moved;
    }
}

static int apply(const struct sta__image *image, struct batch *batch)
{
    int err;

    if (batch->count == 0)
        return 0;
    sort(batch);
    err = sta__text_change(&image->text, batch->changes, batch->count);
    batch->count = 0;
    return err;
}

typedef void (*collect_fn)(struct batch *batch, struct sta *sta,
                           const struct sta__image_site *site);

static void collect_paddings(struct batch *batch, struct sta *sta,
                             const struct sta__image_site *site)
{
    if (site->site.method == STA_SITE_SHORT && is_wanted(sta, site->site.nr))
        add_others(batch, site, false);
}

/* Who has been attached since the paddings were seen to will see to them himself. */
static bool is_ready(const struct sta__image_site *site)
{
    struct sta__change others[OTHERS_MAX];
    unsigned count = site->site.method == STA_SITE_SHORT ? others_of(site, others) : 0;

    for (unsigned i = 0; i < count; i++) {
        if (!sta__memory_is_equal((const void *)others[i].at, others[i].to, others[i].size))
            return false;
    }
    return true;
}

static void collect_sites(struct batch *batch, struct sta *sta, const struct sta__image_site *site)
{
    add_site(batch, site, is_wanted(sta, site->site.nr) && is_ready(site));
}

/* All but the calls that take code away: as long as those are noticed, it is known what is there.
 */
static void collect_most_sites(struct batch *batch, struct sta *sta,
                               const struct sta__image_site *site)
{
    if (!sta__newcode_concerns(site->site.nr))
        collect_sites(batch, sta, site);
}

/* Whether the site leads to padding. */
static bool is_in_use(const struct sta__image_site *site)
{
    return site->site.method == STA_SITE_SHORT && is_as_rewritten(site);
}

static void collect_restored_paddings(struct batch *batch, struct sta *sta,
                                      const struct sta__image_site *site)
{
    (void)sta;
    if (site->site.method == STA_SITE_SHORT && !is_in_use(site))
        add_others(batch, site, true);
}

/* Makes one kind of change to an image. */
static int for_image(const struct sta__image *image, struct sta *sta, collect_fn collect)
{
    size_t size = OTHERS_MAX * image->count * sizeof(struct sta__change);
    struct batch batch = {.count = 0};
    int err;

    if (size == 0)
        return 0;
    if (image->is_hidden)
        return -EACCES;
    batch.changes = sta__pages_alloc(size);
    if (!batch.changes)
        return -ENOMEM;
    for (size_t i = 0; i < image->count; i++) {
        if (is_rewritable(&image->sites[i]))
            collect(&batch, sta, &image->sites[i]);
    }
    err = apply(image, &batch);
    sta__pages_free(batch.changes, size);
    return err;
}

static int for_all(struct sta *sta, collect_fn collect)
{
    int first_err = 0;

    for (const struct sta__image *image = sta__images; image; image = image->next) {
        int err = for_image(image, sta, collect);

        if (err < 0 && !first_err)
            first_err = err;
    }
    return first_err;
}

/* Relaxed: see sta__interest. */
static void update_interest(struct sta *sta)
{
    uint8_t interest[256];

    for (unsigned i = 0; i < 256; i++)
        interest[i] = sta && (wants_all || sta__hooks_of(sta, -1)->active);
    /* Of some, always: a thread may look at this when nobody is interested any more. */
    for (int nr = 0; nr < STA_SYSCALL_LIMIT; nr++) {
        if (is_wanted(sta, nr) || sta__needs_entry(nr))
            interest[nr & 0xff] = 1;
    }
    for (unsigned i = 0; i < 256; i++)
        atomic_store_explicit(&sta__interest[i], interest[i], memory_order_relaxed);
}

int sta__sync(struct sta *sta)
{
    int err, paddings_err;

    update_interest(sta);
    /* Paddings first: a site leads there as soon as it is rewritten. It is not if they are not. */
    paddings_err = sta ? for_all(sta, collect_paddings) : 0;
    err = for_all(sta, collect_sites);
    return err < 0 ? err : paddings_err;
}

static int restore(const struct sta__image *image)
{
    int err = for_image(image, NULL, collect_sites);

    if (err < 0 || !sta__text_is_unshared())
        return err;
    return for_image(image, NULL, collect_restored_paddings);
}

int sta__sync_restore(uintptr_t start, uintptr_t end, bool guests_only)
{
    int first_err = 0;

    for (const struct sta__image *image = sta__images; image; image = image->next) {
        int err = 0;

        if (image->text.start < end && image->text.end > start &&
            (image->text.is_guest || !guests_only))
            err = restore(image);
        if (err < 0 && !first_err)
            first_err = err;
    }
    return first_err;
}

int sta__sync_most(void)
{
    update_interest(NULL);
    return for_all(NULL, collect_most_sites);
}

int sta__sync_paddings(void)
{
    return for_all(NULL, collect_restored_paddings);
}

bool sta__sync_uses_paddings(void)
{
    for (const struct sta__image *image = sta__images; image; image = image->next) {
        for (size_t i = 0; !image->is_hidden && i < image->count; i++) {
            if (is_in_use(&image->sites[i]))
                return true;
        }
    }
    return false;
}
