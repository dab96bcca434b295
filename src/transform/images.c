/* SPDX-License-Identifier: MIT */
#include "transform/images.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "base/gate.h"
#include "base/memory.h"
#include "base/pages.h"
#include "transform/maps.h"
#include "transform/object.h"
#include "transform/trap.h"

/* Enough for libc. What is not used is not touched, and takes no memory. */
#define FIRST_CAPACITY 1024

struct sta__lock sta__images_lock;
struct sta__image *sta__images;

/* The end of a path that is too long says more than its beginning. */
static void copy_path(char *to, const char *path)
{
    size_t length = 0;

    while (path[length])
        length++;
    if (length >= STA_MAPPING_PATH_SIZE) {
        path += length - (STA_MAPPING_PATH_SIZE - 1);
        length = STA_MAPPING_PATH_SIZE - 1;
    }
    sta__memory_copy(to, path, length);
    to[length] = '\0';
}

static const char vdso_name[] = "[vdso]";

/* Where it was last seen: a copy that has taken its place has no name (see text.h). */
static uintptr_t vdso_start;

static bool is_vdso(const struct sta__map *map)
{
    size_t i = 0;

    while (i < sizeof(vdso_name) - 1 && map->path[i] == vdso_name[i])
        i++;
    if (i == sizeof(vdso_name) - 1 && map->path[i] == '\0')
        vdso_start = map->start;
    return map->start == vdso_start && map->inode == 0;
}

static struct sta__image *image_new(const struct sta__map *map)
{
    struct sta__image *image = sta__pages_alloc(sizeof(*image));

    if (!image)
        return NULL;
    image->text.start = map->start;
    image->text.end = map->end;
    image->text.inode = map->inode;
    image->text.offset = map->offset;
    image->text.path = image->path;
    image->text.is_special = is_vdso(map);
    copy_path(image->path, map->path);
    return image;
}

static bool grow(struct sta__image *image)
{
    size_t capacity = image->capacity ? image->capacity * 2 : FIRST_CAPACITY;
    struct sta__image_site *sites = sta__pages_alloc(capacity * sizeof(*sites));

    if (!sites)
        return false;
    sta__memory_copy(sites, image->sites, image->count * sizeof(*sites));
    if (image->sites)
        sta__pages_free(image->sites, image->capacity * sizeof(*sites));
    image->sites = sites;
    image->capacity = capacity;
    return true;
}

/* While an image is being made: where its code can be read. */
struct making {
    struct sta__image *image;
    intptr_t analysed; /* to be added to live addresses */
    int err;
};

/* The library's own calls are to stay what they are. */
static bool is_own(uintptr_t address)
{
    return address >= (uintptr_t)__start_sta_gate && address < (uintptr_t)__stop_sta_gate;
}

static void add_site(const struct sta__site *found, void *data)
{
    struct making *making = data;
    struct sta__image *image = making->image;
    struct sta__image_site *added;
    struct sta__site *site;

    if (is_own(found->address - (uintptr_t)making->analysed))
        return;
    if (image->count == image->capacity && !grow(image)) {
        making->err = -ENOMEM;
        return;
    }
    added = &image->sites[image->count++];
    site = &added->site;
    sta__memory_copy(site, found, sizeof(*site));
    sta__memory_copy(added->original, (const void *)site->patch_at,
                     site->patch_size < STA__NEAR_JUMP_SIZE ? site->patch_size
                                                            : STA__NEAR_JUMP_SIZE);
    site->address -= (uintptr_t)making->analysed;
    site->patch_at -= (uintptr_t)making->analysed;
    if (site->landing) {
        sta__memory_copy(added->landing_original, (const void *)site->landing, STA__NEAR_JUMP_SIZE);
        site->landing -= (uintptr_t)making->analysed;
    }
    for (unsigned i = 0; i < STA__HOP_MAX && site->hops[i]; i++) {
        sta__memory_copy(added->hop_originals[i], (const void *)site->hops[i],
                         STA__SHORT_JUMP_SIZE);
        site->hops[i] -= (uintptr_t)making->analysed;
    }
    if (site->displaced) {
        sta__memory_copy(added->displaced_original, (const void *)site->displaced,
                         site->displaced_size);
        site->displaced -= (uintptr_t)making->analysed;
    }
}

static void leave_alone(struct sta__image_site *site, enum sta_site_reason reason)
{
    site->site.method = STA_SITE_LEFT;
    site->site.reason = (uint8_t)reason;
}

static bool jumps(const struct sta__image_site *site)
{
    return site->site.method != STA_SITE_LEFT && site->site.method != STA_SITE_TRAP;
}

static int make_stubs(const struct making *making)
{
    struct sta__image *image = making->image;
    size_t count = image->count;
    size_t size = count * (sizeof(struct sta__site) + sizeof(struct sta__stub));
    struct sta__stubs_order order = {.start = image->text.start,
                                     .end = image->text.end,
                                     .count = count,
                                     .analysed = making->analysed};
    struct sta__site *sites;
    struct sta__stub *stubs;
    int err;

    if (count == 0)
        return 0;
    sites = sta__pages_alloc(size);
    if (!sites)
        return -ENOMEM;
    order.sites = sites;
    stubs = (struct sta__stub *)(sites + count);
    for (size_t i = 0; i < count; i++)
        sta__memory_copy(&sites[i], &image->sites[i].site, sizeof(*sites));
    err = sta__stubs_make(&order, stubs);
    for (size_t i = 0; i < count; i++) {
        struct sta__image_site *site = &image->sites[i];

        site->stub = err < 0 ? (struct sta__stub){0} : stubs[i];
        if (jumps(site) && (!site->stub.address || (site->site.displaced && !site->stub.displaced)))
            leave_alone(site, STA_REASON_TOO_FAR);
    }
    sta__pages_free(sites, size);
    return err == -ERANGE ? 0 : err;
}

static void claim_traps(struct sta__image *image)
{
    for (size_t i = 0; i < image->count; i++) {
        struct sta__image_site *site = &image->sites[i];

        if (site->site.method == STA_SITE_TRAP && !sta__trap_claim(site->site.address))
            leave_alone(site, STA_REASON_THREADS);
    }
}

static void publish(struct sta__image *image)
{
    image->next = sta__images;
    sta__store_barrier(); /* it is complete when it is in the list */
    sta__images = image;
}

/* The segment may have more code than the mapping: that is somebody else's memory. */
static bool find_code(const struct sta__map *map, const struct sta__object *object,
                      uintptr_t analysed, struct sta__range *out)
{
    if (!sta__object_code_at(object, map->start + analysed, out))
        return false;
    if (out->start < map->start + analysed)
        out->start = map->start + analysed;
    if (out->end > map->end + analysed)
        out->end = map->end + analysed;
    return out->start < out->end;
}

/* Analyses the code of one mapping, which `object` has at live addresses + `analysed`. */
static int add_image(const struct sta__map *map, const struct sta__object *object,
                     intptr_t analysed)
{
    struct making making = {.analysed = analysed};
    struct sta__range code_range;
    struct sta__code code;
    int err;

    if (!find_code(map, object, (uintptr_t)analysed, &code_range))
        return 0;
    making.image = image_new(map);
    if (!making.image)
        return -ENOMEM;
    code.start = code_range.start;
    code.end = code_range.end;
    code.unwind = object->has_unwind ? &object->unwind : NULL;
    err = sta__sites_find(&code, add_site, &making);
    if (err >= 0)
        err = making.err;
    if (err == 0)
        err = make_stubs(&making);
    if (err < 0) {
        sta__image_free(making.image);
        return err;
    }
    claim_traps(making.image);
    publish(making.image);
    return 0;
}

#define CODE_MAX 8

/* The mappings of one file that follow each other, beginning with that of its header. */
struct group {
    uintptr_t start, end; /* where new images are to lie */
    struct sta__object object;
    bool is_open;
    uint64_t device, inode;
    struct sta__map code[CODE_MAX];
    unsigned code_count;
    char path[STA_MAPPING_PATH_SIZE];
    int err;
};

static void end_group(struct group *group)
{
    if (!group->is_open)
        return;
    group->is_open = false;
    if (group->code_count == 0 || sta__object_open(&group->object) < 0)
        return;
    for (unsigned i = 0; i < group->code_count; i++) {
        struct sta__map *map = &group->code[i];

        map->path = group->path;
        if (sta__images_overlap(map->start, map->end) || map->start >= group->end ||
            map->end <= group->start)
            continue;
        if (group->err == 0)
            group->err = add_image(map, &group->object, 0);
    }
}

static void begin_group(struct group *group, const struct sta__map *map)
{
    group->is_open = true;
    group->device = map->device;
    group->inode = map->inode;
    group->code_count = 0;
    group->object.header = map->start;
    group->object.readable_count = 0;
    copy_path(group->path, is_vdso(map) ? vdso_name : map->path);
}

static void add_code(struct group *group, const struct sta__map *map)
{
    struct sta__map *last = group->code_count > 0 ? &group->code[group->code_count - 1] : NULL;

    if (last && last->end == map->start && last->offset + (last->end - last->start) == map->offset)
        last->end = map->end; /* the kernel had it in pieces */
    else if (group->code_count < CODE_MAX)
        group->code[group->code_count++] = *map;
}

static bool collect(const struct sta__map *map, void *data)
{
    struct group *group = data;
    bool begins = map->offset == 0 && map->readable && !map->shared;
    bool goes_on =
        group->is_open && map->inode == group->inode && map->device == group->device && !begins;

    if (map->inode == 0 && !is_vdso(map))
        return true;
    if (!goes_on)
        end_group(group);
    if (begins)
        begin_group(group, map);
    if (!group->is_open)
        return true;
    if (map->readable)
        sta__object_add_readable(&group->object, map->start, map->end);
    if (map->executable && map->readable && !map->writable)
        add_code(group, map);
    return true;
}

int sta__images_add_mapped(uintptr_t start, uintptr_t end)
{
    struct group *group = sta__pages_alloc(sizeof(*group));
    int err;

    if (!group)
        return -ENOMEM;
    group->start = start;
    group->end = end;
    err = sta__maps_each(collect, group);
    end_group(group);
    if (err == 0)
        err = group->err;
    sta__pages_free(group, sizeof(*group));
    return err;
}

/* "/proc/self/fd/3" */
static void read_link_of(int fd, char *path)
{
    char name[32] = "/proc/self/fd/";
    char digits[12];
    size_t used = 14, count = 0;
    int64_t length;

    do {
        digits[count++] = (char)('0' + fd % 10);
        fd /= 10;
    } while (fd);
    while (count > 0)
        name[used++] = digits[--count];
    name[used] = '\0';
    length = STA__RAW4(SYS_readlinkat, AT_FDCWD, name, path, STA_MAPPING_PATH_SIZE - 1);
    path[length > 0 ? length : 0] = '\0';
}

/* Where the byte at this offset in the file's code is, in the mapping that was analysed. */
static bool find_in_file(const struct sta__object *object, uint64_t offset, uintptr_t *out)
{
    for (unsigned i = 0; i < object->segment_count; i++) {
        const Elf64_Phdr *segment = &object->segments[i];

        uint64_t start = sta__page_of(segment->p_offset);

        if (segment->p_type != PT_LOAD || !(segment->p_flags & PF_X) || offset < start ||
            offset >= segment->p_offset + segment->p_filesz)
            continue;
        *out = sta__page_of(object->bias + segment->p_vaddr) + (offset - start);
        return true;
    }
    return false;
}

int sta__images_add_file(uintptr_t start, uintptr_t end, int fd, uint64_t offset)
{
    struct sta__map map = {.start = start, .end = end, .offset = offset};
    char path[STA_MAPPING_PATH_SIZE];
    struct sta__range mapping;
    struct sta__object object;
    uintptr_t analysed;
    struct stat file;
    int err;

    if (STA__RAW2(SYS_fstat, fd, &file) < 0)
        return 0;
    err = sta__object_map(&object, fd, &mapping);
    if (err < 0)
        return err == -ENOEXEC ? 0 : err;
    map.inode = file.st_ino;
    read_link_of(fd, path);
    map.path = path;
    if (find_in_file(&object, offset, &analysed))
        err = add_image(&map, &object, (intptr_t)(analysed - start));
    sta__object_unmap(&mapping);
    return err;
}

/* The mapping that an address lies in. */
struct wanted_map {
    uintptr_t address;
    struct sta__map map;
    bool found;
};

static bool find_map(const struct sta__map *map, void *data)
{
    struct wanted_map *wanted = data;

    if (map->end <= wanted->address)
        return true;
    wanted->found = map->start <= wanted->address;
    wanted->map = *map;
    wanted->map.path = "";
    return false;
}

/* `mov $nr,%eax` just before the call, with the very number that the call was made with. */
static bool follows_mov(uintptr_t address, int64_t sys_nr)
{
    const uint8_t *mov = (const uint8_t *)address - STA__NEAR_JUMP_SIZE;
    int32_t number;

    sta__memory_copy(&number, mov + 1, sizeof(number));
    return mov[0] == 0xb8 && number == sys_nr && sys_nr >= 0;
}

/* Only code that nobody can write to as it is: who made it has to ask the kernel first. */
static bool is_settled(const struct sta__map *map, uintptr_t address)
{
    return map->executable && map->readable && !map->writable && !map->shared &&
           map->start + STA__NEAR_JUMP_SIZE <= address && address + 2 <= map->end;
}

/* Whether it lies in an ELF file's code, or is a guest's site already. */
static bool is_known(uintptr_t address)
{
    for (const struct sta__image *image = sta__images; image; image = image->next) {
        if (sta__image_overlaps(image, address, address + 2) &&
            (!image->text.is_guest || image->sites[0].site.address == address))
            return true;
    }
    return false;
}

int sta__images_add_guest(uintptr_t address, int64_t sys_nr)
{
    struct sta__site site = {.method = STA_SITE_MOV, .patch_size = STA__NEAR_JUMP_SIZE};
    struct wanted_map wanted = {.address = address};
    struct making making = {.image = NULL};
    int err = sta__maps_each(find_map, &wanted);

    if (err < 0)
        return err;
    if (!wanted.found || !is_settled(&wanted.map, address) || is_known(address) ||
        !follows_mov(address, sys_nr))
        return -ENOTSUP;
    site.address = address;
    site.patch_at = address - STA__NEAR_JUMP_SIZE;
    site.nr = (int32_t)sys_nr;
    wanted.map.offset += sta__page_of(site.patch_at) - wanted.map.start;
    wanted.map.start = sta__page_of(site.patch_at);
    wanted.map.end = sta__page_up(address + 2);
    making.image = image_new(&wanted.map);
    if (!making.image)
        return -ENOMEM;
    making.image->text.is_guest = true;
    add_site(&site, &making);
    err = making.err == 0 ? make_stubs(&making) : making.err;
    if (err < 0)
        sta__image_free(making.image);
    else
        publish(making.image);
    return err;
}
