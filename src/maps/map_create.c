/* SPDX-License-Identifier: MIT */
/* Creating and opening maps. Not on the dispatch path. */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <sta/map.h>

#include "base/clock.h"
#include "base/gate.h"
#include "base/grace.h"
#include "base/options.h"
#include "base/pages.h"
#include "maps/lease.h"
#include "maps/ring.h"
#include "maps/types.h"

#define OPTIONS_FIRST_SIZE sizeof(struct sta_map_options)
#define SEALS              (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)
#define SIZE_MAX_BYTES     (UINT64_C(1) << 46) /* half of what there are addresses for */

/* A map that is being made, and what to say when that fails. */
struct making {
    struct sta__log log;
    struct sta__map_attributes attributes;
    const struct sta__map_type *type;
    struct sta_map *map;
};

static int refuse(const struct making *making, int err, const char *why)
{
    sta__log(&making->log, STA_LOG_ERROR, "map '%.16s' of type %u: %s", making->attributes.name,
             making->attributes.type, why);
    return err;
}

static int check_name(struct making *making, const char *name)
{
    size_t length = name ? strlen(name) : 0;

    for (size_t i = 0; i < length; i++) {
        if (!isalnum((unsigned char)name[i]) && name[i] != '_' && name[i] != '.')
            return refuse(making, -EINVAL,
                          "its name has other characters than letters, digits, "
                          "'_' and '.'");
    }
    if (length >= sizeof(making->attributes.name))
        return refuse(making, -EINVAL, "its name has more than 15 characters");
    memcpy(making->attributes.name, name ? name : "", length);
    return 0;
}

static const char *why_not(uint32_t type)
{
    switch (type) {
    case BPF_MAP_TYPE_TASK_STORAGE:
    case BPF_MAP_TYPE_INODE_STORAGE:
    case BPF_MAP_TYPE_SK_STORAGE:
        return "its keys are objects of the kernel, which programs have none of here";
    default:
        return "there is no such type here";
    }
}

/* What the kernel checks for all types alike, and then what the type does. */
static int check_attributes(struct making *making)
{
    const struct sta__map_attributes *attributes = &making->attributes;
    const char *why = NULL;
    int err;

    if ((attributes->flags & BPF_F_RDONLY) && (attributes->flags & BPF_F_WRONLY))
        return refuse(making, -EINVAL, "it cannot be both read-only and write-only");
    making->type = sta__map_type(attributes->type);
    if (!making->type)
        return refuse(making, -EINVAL, why_not(attributes->type));
    err = making->type->check_first ? making->type->check_first(attributes, &why) : 0;
    if (err)
        return refuse(making, err, why);
    if (attributes->flags & ~making->type->flags)
        return refuse(making, -EINVAL, "it cannot have these flags");
    if ((attributes->flags & BPF_F_RDONLY_PROG) && (attributes->flags & BPF_F_WRONLY_PROG))
        return refuse(making, -EINVAL, "programs can either read or write it");
    if (attributes->extra && !making->type->has_extra)
        return refuse(making, -EINVAL, "it has no use for map_extra");
    err = making->type->check(attributes, &why);
    return err ? refuse(making, err, why) : 0;
}

static int check_lock(const struct making *making)
{
    const struct sta__map_attributes *attributes = &making->attributes;

    if (!attributes->has_lock)
        return 0;
    if (attributes->flags & (BPF_F_RDONLY_PROG | BPF_F_WRONLY_PROG))
        return refuse(making, -EACCES, "programs have to read and write values that have a lock");
    if (!making->type->may_have_lock)
        return refuse(making, -EOPNOTSUPP, "its values cannot have a lock");
    if (attributes->lock_at % 4 || (uint64_t)attributes->lock_at + 4 > attributes->value_size)
        return refuse(making, -EINVAL, "the lock does not lie in the value at a multiple of 4");
    return 0;
}

/* Where all parts are, and how much that is in all. 0: too much. */
static uint64_t place(const struct making *making, uintptr_t base)
{
    struct sta__placer placer = {.base = base, .at = STA__MAP_HEAD_SIZE};
    const struct sta__map_type *inner = sta__map_type(making->attributes.inner_type);
    struct sta_map *map = making->map;

    map->type = making->attributes.type;
    map->key_size = making->attributes.key_size;
    map->value_size = making->attributes.value_size;
    map->max_entries = making->attributes.max_entries;
    map->flags = making->attributes.flags;
    map->cpus = making->attributes.cpus;
    map->has_lock = making->attributes.has_lock;
    map->lock_at = making->attributes.lock_at;
    map->is_leased =
        making->type->is_percpu || making->type->is_leased || (inner && inner->is_percpu);
    map->head = (struct sta__map_head *)base;
    making->type->place(map, &making->attributes, &placer);
    return placer.at < SIZE_MAX_BYTES ? sta__page_up(placer.at) : 0;
}

/* What is known of maps before there are any. */
static int make_inner(struct making *making)
{
    const struct sta__map_attributes *attributes = &making->attributes;
    struct sta_map *inner;

    if (attributes->inner_type == BPF_MAP_TYPE_UNSPEC)
        return 0;
    inner = calloc(1, sizeof(*inner));
    if (!inner)
        return refuse(making, -ENOMEM, "no memory");
    inner->type = attributes->inner_type;
    inner->key_size = attributes->inner_key_size;
    inner->value_size = attributes->inner_value_size;
    inner->max_entries = attributes->inner_max_entries;
    inner->flags = attributes->inner_flags;
    inner->has_lock = attributes->inner_has_lock;
    inner->lock_at = attributes->inner_lock_at;
    inner->is_inner = true;
    inner->fd = -1;
    making->map->inner = inner;
    return 0;
}

static int map_memory(struct making *making)
{
    struct sta_map *map = making->map;
    int64_t at = STA__RAW6(SYS_mmap, 0, map->size + map->again_size, PROT_NONE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    int64_t got;

    if (sta__is_error(at))
        return refuse(making, (int)at, "no addresses for its memory");
    map->head = (struct sta__map_head *)at;
    got = STA__RAW6(SYS_mmap, at, map->size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
                    map->fd, 0);
    if (!sta__is_error(got) && map->again_size)
        got = STA__RAW6(SYS_mmap, (uint64_t)at + map->size, map->again_size, PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_FIXED, map->fd, map->size - map->again_size);
    if (sta__is_error(got))
        return refuse(making, (int)got, "its memory cannot be mapped");
    place(making, (uintptr_t)at);
    return make_inner(making);
}

static int create_memory(struct making *making)
{
    struct sta_map *map = making->map;
    char name[32];
    int64_t err;

    map->size = place(making, 0);
    map->head = NULL;
    if (map->size == 0)
        return refuse(making, -ENOMEM, "there are not so many addresses");
    snprintf(name, sizeof(name), "sta-map:%s", making->attributes.name);
    err = STA__RAW2(SYS_memfd_create, name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (err < 0)
        return refuse(making, (int)err, "memfd_create failed");
    map->fd = (int)err;
    err = STA__RAW2(SYS_ftruncate, map->fd, map->size);
    if (err >= 0)
        err = STA__RAW3(SYS_fcntl, map->fd, F_ADD_SEALS, SEALS);
    if (err < 0)
        return refuse(making, (int)err, "its memfd cannot have the size it needs");
    return map_memory(making);
}

/* Samples of a ring lead back to it. */
static int finish(struct making *making, struct sta_map **out)
{
    int err = making->attributes.type == BPF_MAP_TYPE_RINGBUF ? sta__ring_note(making->map) : 0;

    if (err < 0) {
        refuse(making, err, "there are too many ring buffers");
        sta_map_close(making->map);
        return err;
    }
    *out = making->map;
    return 0;
}

static void fill_head(const struct making *making)
{
    struct sta_map *map = making->map;

    map->head->version = STA__MAP_VERSION;
    map->head->head_size = STA__MAP_HEAD_SIZE;
    map->head->size = map->size;
    map->head->attributes = making->attributes;
    if (making->type->init)
        making->type->init(map);
    map->head->magic = STA__MAP_MAGIC;
}

static int prepare_process(struct making *making)
{
    int err = sta__readers_init(&making->log);

    if (err < 0)
        return err;
    sta__clock_prepare();
    sta__after_grace_rest();
    making->map = calloc(1, sizeof(*making->map));
    if (!making->map)
        return refuse(making, -ENOMEM, "no memory");
    making->map->fd = -1;
    return 0;
}

static uint32_t random_id(void)
{
    uint32_t id = 0;

    STA__RAW3(SYS_getrandom, &id, sizeof(id), 0);
    id &= INT32_MAX; /* as in the kernel, whose ids are asked for in order */
    return id ? id : 1;
}

static void choose_attributes(struct making *making, const struct sta_map_options *options)
{
    struct sta__map_attributes *attributes = &making->attributes;

    attributes->type = options->type;
    attributes->key_size = options->key_size;
    attributes->value_size = options->value_size;
    attributes->max_entries = options->max_entries;
    attributes->flags = options->map_flags;
    attributes->extra = options->map_extra;
    attributes->has_lock = options->has_spin_lock != 0;
    attributes->lock_at = options->has_spin_lock ? options->spin_lock_at : 0;
    attributes->cpus = 1;
    attributes->id = random_id();
    if (!(options->map_flags & BPF_F_ZERO_SEED))
        STA__RAW3(SYS_getrandom, &attributes->seed, sizeof(attributes->seed), 0);
    if (options->inner) {
        attributes->inner_type = options->inner->type;
        attributes->inner_key_size = options->inner->key_size;
        attributes->inner_value_size = options->inner->value_size;
        attributes->inner_max_entries = options->inner->max_entries;
        attributes->inner_flags = options->inner->flags;
        attributes->inner_has_lock = options->inner->has_lock;
        attributes->inner_lock_at = options->inner->lock_at;
    }
}

static int choose_cpus(struct making *making)
{
    uint64_t id = 0;
    int err = 0;

    if (making->type->is_percpu || making->type->is_leased)
        err = sta__lease_prepare(&id, &making->log);
    if (making->type->is_percpu) {
        making->attributes.cpus = sta__lease_cpus();
        making->attributes.leases = id;
    }
    return err;
}

int sta_map_create(struct sta_map **out, const struct sta_map_options *given)
{
    struct sta_map_options options;
    struct making making = {.map = NULL};
    int err;

    if (!out || !given)
        return -EINVAL;
    err = sta__options_copy(&options, sizeof(options), OPTIONS_FIRST_SIZE, given);
    making.log = (struct sta__log){options.log, options.log_data};
    if (err < 0) {
        sta__log(&making.log, STA_LOG_ERROR, "options of a map are of another version");
        return err;
    }
    choose_attributes(&making, &options);
    err = check_attributes(&making);
    if (err == 0) /* in this order in the kernel, too */
        err = check_name(&making, options.name);
    if (err == 0)
        err = check_lock(&making);
    if (err == 0)
        err = choose_cpus(&making);
    if (err == 0)
        err = prepare_process(&making);
    if (err == 0)
        err = create_memory(&making);
    if (err < 0) {
        sta_map_close(making.map);
        return err;
    }
    fill_head(&making);
    return finish(&making, out);
}

/* Opening. Nothing is believed but what can be checked. */

static int read_head(struct making *making, int fd, struct sta__map_head *head, uint64_t *size)
{
    struct stat stat;
    int64_t err = STA__RAW2(SYS_fstat, fd, &stat);
    int64_t seals;

    if (err < 0)
        return refuse(making, (int)err, "fstat failed");
    seals = STA__RAW2(SYS_fcntl, fd, F_GET_SEALS);
    if (seals < 0 || !(seals & F_SEAL_SHRINK))
        return refuse(making, -EINVAL, "the file descriptor is no map's: it can be cut off");
    *size = (uint64_t)stat.st_size;
    if (STA__RAW4(SYS_pread64, fd, head, sizeof(*head), 0) != (int64_t)sizeof(*head) ||
        head->magic != STA__MAP_MAGIC)
        return refuse(making, -EINVAL, "the file descriptor is no map's");
    if (head->version != STA__MAP_VERSION || head->head_size != STA__MAP_HEAD_SIZE)
        return refuse(making, -EINVAL, "the map is of another version of the library");
    if (head->size != *size)
        return refuse(making, -EINVAL, "the map was cut off");
    return 0;
}

static int check_cpus(struct making *making)
{
    struct sta__lease_set *set = atomic_load_explicit(&sta__leases, memory_order_acquire);

    if (!making->type->is_percpu)
        return making->attributes.cpus == 1 ? 0 : refuse(making, -EINVAL, "it is not per CPU");
    if (making->attributes.cpus == 0 || making->attributes.cpus > STA__CPUS_MAX)
        return refuse(making, -EINVAL, "its number of CPUs cannot be");
    if (!set || set->id != making->attributes.leases)
        return refuse(making, -EXDEV,
                      "it is per CPU, and this process leases CPUs from another "
                      "set: sta_map_cpus_join()");
    if (making->attributes.cpus < sta__lease_slots)
        return refuse(making, -EINVAL, "it has fewer CPUs than programs may run on");
    return 0;
}

static int open_memory(struct making *making, int fd, uint64_t size)
{
    int64_t copy = STA__RAW3(SYS_fcntl, fd, F_DUPFD_CLOEXEC, 0);

    if (copy < 0)
        return refuse(making, (int)copy, "no file descriptor");
    making->map->fd = (int)copy;
    making->map->size = place(making, 0);
    making->map->head = NULL;
    if (making->map->size != size)
        return refuse(making, -EINVAL, "the map's size is not what its attributes make it");
    return map_memory(making);
}

int sta_map_open_fd(struct sta_map **out, int fd, const struct sta_map_options *given)
{
    struct sta_map_options options;
    struct making making = {.map = NULL};
    struct sta__map_head head;
    uint64_t size = 0;
    int err;

    if (!out)
        return -EINVAL;
    err = sta__options_copy(&options, sizeof(options), OPTIONS_FIRST_SIZE, given);
    making.log = (struct sta__log){options.log, options.log_data};
    if (err < 0)
        return err;
    err = read_head(&making, fd, &head, &size);
    if (err == 0) {
        making.attributes = head.attributes;
        err = check_attributes(&making);
    }
    if (err == 0)
        err = check_lock(&making);
    if (err == 0)
        err = check_cpus(&making);
    if (err == 0)
        err = prepare_process(&making);
    if (err == 0)
        err = open_memory(&making, fd, size);
    if (err == 0 && atomic_load(&making.map->head->is_frozen))
        err = sta__map_keep_constants(making.map);
    if (err < 0) {
        sta_map_close(making.map);
        return err;
    }
    return finish(&making, out);
}
