/* SPDX-License-Identifier: MIT */
/* What becomes of images when their memory is unmapped, mapped over, or protected otherwise. */
#include <sys/mman.h>

#include "base/memory.h"
#include "base/pages.h"
#include "transform/images.h"
#include "transform/maps.h"
#include "transform/trap.h"

bool sta__images_overlap(uintptr_t start, uintptr_t end)
{
    for (const struct sta__image *image = sta__images; image; image = image->next) {
        if (sta__image_overlaps(image, start, end))
            return true;
    }
    return false;
}

static void widen(struct sta__range *extent, uintptr_t start, size_t size)
{
    if (!start)
        return;
    if (start < extent->start)
        extent->start = start;
    if (start + size > extent->end)
        extent->end = start + size;
}

/* The addresses of all bytes that a site has to do with. */
static struct sta__range extent_of(const struct sta__site *site)
{
    struct sta__range extent = {site->patch_at, site->address + STA__SHORT_JUMP_SIZE};

    widen(&extent, site->landing, STA__NEAR_JUMP_SIZE);
    widen(&extent, site->displaced, site->displaced_size);
    for (unsigned i = 0; i < STA__HOP_MAX; i++)
        widen(&extent, site->hops[i], STA__SHORT_JUMP_SIZE);
    return extent;
}

static bool is_within(const struct sta__site *site, uintptr_t start, uintptr_t end)
{
    struct sta__range extent = extent_of(site);

    return extent.start >= start && extent.end <= end;
}

static bool is_apart(const struct sta__site *site, uintptr_t start, uintptr_t end)
{
    struct sta__range extent = extent_of(site);

    return extent.start >= end || extent.end <= start;
}

bool sta__images_straddle(uintptr_t start, uintptr_t end)
{
    for (const struct sta__image *image = sta__images; image; image = image->next) {
        for (size_t i = 0; sta__image_overlaps(image, start, end) && i < image->count; i++) {
            const struct sta__site *site = &image->sites[i].site;

            if (!is_within(site, start, end) && !is_apart(site, start, end))
                return true;
        }
    }
    return false;
}

static void give_back(struct sta__image *image)
{
    if (image->sites)
        sta__pages_free(image->sites, image->capacity * sizeof(*image->sites));
    sta__pages_free(image, sizeof(*image));
}

void sta__image_free(struct sta__image *image)
{
    for (size_t i = 0; i < image->count; i++) {
        if (image->sites[i].site.method == STA_SITE_TRAP)
            sta__trap_release(image->sites[i].site.address);
    }
    give_back(image);
}

/* A copy of what lies between these addresses. */
static struct sta__image *part_of(const struct sta__image *image, uintptr_t start, uintptr_t end)
{
    struct sta__image *part = sta__pages_alloc(sizeof(*part));

    if (!part)
        return NULL;
    sta__memory_copy(part, image, sizeof(*part));
    part->text.path = part->path;
    part->text.start = start;
    part->text.end = end;
    part->text.offset += start - image->text.start;
    part->count = 0;
    part->sites = NULL;
    if (image->capacity)
        part->sites = sta__pages_alloc(image->capacity * sizeof(*part->sites));
    if (image->capacity && !part->sites) {
        sta__pages_free(part, sizeof(*part));
        return NULL;
    }
    for (size_t i = 0; i < image->count; i++) {
        if (is_within(&image->sites[i].site, start, end))
            sta__memory_copy(&part->sites[part->count++], &image->sites[i], sizeof(*part->sites));
    }
    return part;
}

static void release_traps_between(const struct sta__image *image, uintptr_t start, uintptr_t end)
{
    for (size_t i = 0; i < image->count; i++) {
        const struct sta__site *site = &image->sites[i].site;

        if (site->method == STA_SITE_TRAP && !is_apart(site, start, end))
            sta__trap_release(site->address);
    }
}

/* Puts what is left of an image in its place. Without memory nothing is: its sites stay as they are
 * for good, and work. */
static void cut(struct sta__image **link, uintptr_t start, uintptr_t end)
{
    struct sta__image *image = *link, *rest = image->next, *part;

    if (end < image->text.end && (part = part_of(image, end, image->text.end))) {
        part->next = rest;
        rest = part;
    }
    if (start > image->text.start && (part = part_of(image, image->text.start, start))) {
        part->next = rest;
        rest = part;
    }
    sta__store_barrier(); /* they are complete when they are in the list */
    *link = rest;
    release_traps_between(image, start, end);
    give_back(image);
}

static void drop(uintptr_t start, uintptr_t end, bool guests_only)
{
    struct sta__image **link = &sta__images;

    while (*link) {
        struct sta__image *image = *link;

        if (!sta__image_overlaps(image, start, end) || (guests_only && !image->text.is_guest)) {
            link = &image->next;
        } else if (image->text.is_guest || (start <= image->text.start && end >= image->text.end)) {
            *link = image->next;
            sta__image_free(image);
        } else {
            cut(link, start, end);
        }
    }
}

void sta__images_drop(uintptr_t start, uintptr_t end)
{
    drop(start, end, false);
}

void sta__images_drop_guests(uintptr_t start, uintptr_t end)
{
    drop(start, end, true);
}

/* Protection. What is not readable cannot be compared, and what is not executable is not to become
 * it again by an exchange. */

static void note_protection(struct sta__image *image, bool is_code, bool is_writable)
{
    image->is_hidden |= !is_code;
    image->text.is_writable |= is_writable;
}

void sta__images_protect(uintptr_t start, uintptr_t end, unsigned long protection)
{
    for (struct sta__image *image = sta__images; image; image = image->next) {
        if (sta__image_overlaps(image, start, end))
            note_protection(image, (protection & PROT_READ) && (protection & PROT_EXEC),
                            protection & PROT_WRITE);
    }
}

static bool look_at(const struct sta__map *map, void *data)
{
    uintptr_t *previous_end = data;

    if (*previous_end < map->start)
        sta__images_drop(*previous_end, map->start);
    *previous_end = map->end;
    for (struct sta__image *image = sta__images; image; image = image->next) {
        if (sta__image_overlaps(image, map->start, map->end))
            note_protection(image, map->readable && map->executable, map->writable);
    }
    return true;
}

/* A child that takes the lock over in the middle of this may find some images visible that should
 * not be; but in the child nobody has changed anything since. */
int sta__images_look_again(void)
{
    uintptr_t previous_end = 0;
    int err;

    for (struct sta__image *image = sta__images; image; image = image->next)
        image->is_hidden = image->text.is_writable = false;
    err = sta__maps_each(look_at, &previous_end);
    if (err < 0)
        sta__images_protect(0, UINTPTR_MAX, PROT_NONE);
    else if (previous_end)
        sta__images_drop(previous_end, UINTPTR_MAX);
    return err;
}
