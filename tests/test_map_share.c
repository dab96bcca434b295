/* SPDX-License-Identifier: MIT */
/*
 * Maps of other processes, by their memfd; and what is no map.
 */
#include "maps.h"

#include <fcntl.h>
#include <sys/mman.h>

#include "maps/lease.h"

static void reopened_it_is_the_same_map(void **state)
{
    static const uint32_t types[] = {BPF_MAP_TYPE_HASH, BPF_MAP_TYPE_ARRAY, BPF_MAP_TYPE_LRU_HASH,
                                     BPF_MAP_TYPE_PERCPU_HASH, BPF_MAP_TYPE_PERCPU_ARRAY};

    (void)state;
    for (size_t i = 0; i < COUNT(types); i++) {
        struct sta_map *map = make_map(types[i], 4, 12, 100), *again = NULL;
        struct sta_map_info info = {.size = sizeof(info)}, info_again = {.size = sizeof(info)};
        uint8_t value[16 * STA__CPUS_MAX] = {1, 2, 3}, got[16 * STA__CPUS_MAX];
        uint32_t key = 7;

        assert_int_equal(sta_map_open_fd(&again, sta_map_fd(map), NULL), 0);
        assert_ptr_not_equal(again->head, map->head);
        assert_int_equal(sta_map_update(map, &key, value, BPF_ANY), 0);
        assert_int_equal(sta_map_lookup(again, &key, got, 0), 0);
        assert_memory_equal(value, got, map->cpus * 12);
        value[0] = 9;
        assert_int_equal(sta_map_update(again, &key, value, BPF_EXIST), 0);
        sta_map_close(again);
        assert_int_equal(sta_map_lookup(map, &key, got, 0), 0);
        assert_memory_equal(value, got, map->cpus * 12);

        assert_int_equal(sta_map_open_fd(&again, sta_map_fd(map), NULL), 0);
        assert_int_equal(sta_map_info(map, &info), 0);
        assert_int_equal(sta_map_info(again, &info_again), 0);
        assert_memory_equal(&info, &info_again, sizeof(info));
        assert_string_equal(info.name, "test");
        assert_int_not_equal(info.id, 0);
        sta_map_close(map); /* it goes with its last view */
        assert_int_equal(sta_map_lookup(again, &key, got, 0), 0);
        sta_map_close(again);
    }
}

static int logged;

static void count_lines(void *data, enum sta_log_level level, const char *message)
{
    (void)data, (void)level;
    must(*message);
    logged++;
}

static void is_refused(int fd, int wanted)
{
    const struct sta_map_options options = {.size = sizeof(options), .log = count_lines};
    struct sta_map *map = NULL;

    logged = 0;
    assert_int_equal(sta_map_open_fd(&map, fd, &options), wanted);
    assert_int_equal(logged, 1);
    assert_null(map);
}

/* A memfd with the content of a map's, one word of it changed. */
static int copy_of(struct sta_map *map, size_t size, unsigned seals)
{
    int fd = (int)syscall(SYS_memfd_create, "copy", MFD_ALLOW_SEALING);

    must(fd >= 0);
    must_equal(ftruncate(fd, (off_t)size), 0);
    must(pwrite(fd, map->head, size < map->size ? size : map->size, 0) >= 0);
    must_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
    return fd;
}

static void what_is_no_map_is_refused(void **state)
{
    struct sta_map *map = make_map(BPF_MAP_TYPE_HASH, 4, 8, 1000);
    struct sta__map_head saved = *map->head;
    int fd;

    (void)state;
    is_refused(-1, -EBADF);
    fd = open("/dev/null", O_RDWR);
    is_refused(fd, -EINVAL);
    close(fd);
    fd = copy_of(map, map->size, 0); /* could be cut off while it is mapped */
    is_refused(fd, -EINVAL);
    close(fd);
    for (size_t size = 0; size < map->size; size = size * 2 + 100) {
        fd = copy_of(map, size, F_SEAL_SHRINK);
        is_refused(fd, -EINVAL);
        close(fd);
    }
    fd = copy_of(map, map->size + 4096, F_SEAL_SHRINK);
    is_refused(fd, -EINVAL);
    close(fd);

    map->head->version++;
    is_refused(sta_map_fd(map), -EINVAL);
    *map->head = saved;
    map->head->magic ^= 1;
    is_refused(sta_map_fd(map), -EINVAL);
    *map->head = saved;
    for (uint32_t entries = 1; entries < 100000; entries = entries * 3 + 7) {
        if (entries == saved.attributes.max_entries)
            continue;
        map->head->attributes.max_entries = entries; /* the memory is another's, or too small */
        if (entries <= 512 || entries > 1024)
            is_refused(sta_map_fd(map), -EINVAL);
    }
    map->head->attributes.max_entries = UINT32_MAX;
    is_refused(sta_map_fd(map), -E2BIG);
    *map->head = saved;
    map->head->attributes.type = 1000;
    is_refused(sta_map_fd(map), -EINVAL);
    map->head->attributes.type = BPF_MAP_TYPE_PERCPU_HASH;
    map->head->attributes.cpus = 1u << 20;
    is_refused(sta_map_fd(map), -EINVAL);
    *map->head = saved;
    sta_map_close(map);
}

/* A process that is no child of the map's: it executes this program anew. */
static void join_and_count(const char *map_fd, const char *cpus_fd)
{
    struct sta_map *map = NULL;
    struct sta__lease lease;
    uint32_t key = 0;

    must_equal(sta_map_open_fd(&map, atoi(map_fd), NULL), -EXDEV);
    must_equal(sta_map_cpus_join(atoi(map_fd)), -EINVAL);
    must_equal(sta_map_cpus_join(atoi(cpus_fd)), 0);
    must_equal(sta_map_cpus_join(atoi(cpus_fd)), 0);
    must_equal(sta_map_open_fd(&map, atoi(map_fd), NULL), 0);
    for (int i = 0; i < 1000; i++) {
        must_equal(sta__lease_enter(&lease), 0);
        ++*(volatile uint64_t *)map->ops->lookup(map, &key);
        sta__lease_leave(&lease);
    }
    sta_map_close(map);
}

static void another_process_joins(void **state)
{
    struct sta_map *map = make_map(BPF_MAP_TYPE_PERCPU_ARRAY, 4, 8, 1);
    uint64_t values[STA__CPUS_MAX], sum = 0;
    char map_fd[16], cpus_fd[16];
    uint32_t key = 0;
    pid_t child;

    (void)state;
    assert_true(sta_map_cpus_fd() >= 0);
    snprintf(map_fd, sizeof(map_fd), "%d", sta_map_fd(map));
    snprintf(cpus_fd, sizeof(cpus_fd), "%d", sta_map_cpus_fd());
    child = fork();
    if (child == 0) {
        must_equal(fcntl(sta_map_fd(map), F_SETFD, 0), 0);
        must_equal(fcntl(sta_map_cpus_fd(), F_SETFD, 0), 0);
        execl("/proc/self/exe", "test_map_share", map_fd, cpus_fd, (char *)NULL);
        _exit(1);
    }
    assert_int_equal(wait_for_child(child), 0);
    assert_int_equal(sta_map_lookup(map, &key, values, 0), 0);
    for (uint32_t cpu = 0; cpu < sta_map_cpus(); cpu++)
        sum += values[cpu];
    assert_int_equal(sum, 1000);
    sta_map_close(map);
}

static void values_of_an_array_can_be_mapped(void **state)
{
    struct sta_map *map = make_map_with(BPF_MAP_TYPE_ARRAY, 4, 8, 1000, BPF_F_MMAPABLE);
    struct sta_map_info info = {.size = sizeof(info)};
    uint64_t *values, value = 77;
    uint32_t key = 999;

    (void)state;
    assert_int_equal(sta_map_info(map, &info), 0);
    assert_int_equal(info.values_at % 4096, 0);
    values = mmap(NULL, 8000, PROT_READ | PROT_WRITE, MAP_SHARED, sta_map_fd(map),
                  (off_t)info.values_at);
    assert_true(values != MAP_FAILED);
    assert_int_equal(sta_map_update(map, &key, &value, BPF_ANY), 0);
    assert_int_equal(values[999], 77);
    values[3] = 5;
    assert_int_equal(((uint64_t *)map->values)[3], 5);
    munmap(values, 8000);
    sta_map_close(map);
}

static void freezing_makes_constants(void **state)
{
    struct sta_map *map = make_map_with(BPF_MAP_TYPE_ARRAY, 4, 8, 1, BPF_F_RDONLY_PROG), *again;
    struct sta_map_info info = {.size = sizeof(info)};
    uint64_t value = 1;
    uint32_t key = 0;

    (void)state;
    assert_int_equal(sta_map_update(map, &key, &value, BPF_ANY), 0);
    assert_false(map->is_frozen);
    assert_int_equal(sta_map_freeze(map), 0);
    assert_true(map->is_frozen);
    assert_int_equal(sta_map_update(map, &key, &value, BPF_ANY), -EPERM);
    assert_int_equal(sta_map_open_fd(&again, sta_map_fd(map), NULL), 0);
    assert_true(again->is_frozen);
    assert_int_equal(sta_map_update(again, &key, &value, BPF_ANY), -EPERM);
    assert_int_equal(sta_map_info(again, &info), 0);
    assert_int_equal(info.is_frozen, 1);
    sta_map_close(again);
    sta_map_close(map);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reopened_it_is_the_same_map),
        cmocka_unit_test(what_is_no_map_is_refused),
        cmocka_unit_test(another_process_joins),
        cmocka_unit_test(values_of_an_array_can_be_mapped),
        cmocka_unit_test(freezing_makes_constants),
    };

    if (argc == 3) {
        join_and_count(argv[1], argv[2]);
        return 0;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
