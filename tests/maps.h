/* SPDX-License-Identifier: MIT */
/* For the tests of maps. To be included first. */
#ifndef TESTS_MAPS_H
#define TESTS_MAPS_H

#include "core.h"

#include <time.h>

#include <sta/map.h>

#include "maps/map.h"
#include "maps/shared.h"

__attribute__((unused)) static void print_log(void *data, enum sta_log_level level,
                                              const char *message)
{
    (void)data, (void)level;
    print_message("%s\n", message);
}

static inline struct sta_map *make_map_with(uint32_t type, uint32_t key_size, uint32_t value_size,
                                            uint32_t max_entries, uint32_t flags)
{
    struct sta_map_options options = {.size = sizeof(options),
                                      .type = type,
                                      .key_size = key_size,
                                      .value_size = value_size,
                                      .max_entries = max_entries,
                                      .map_flags = flags,
                                      .name = "test",
                                      .log = print_log};
    struct sta_map *map = NULL;

    must_equal(sta_map_create(&map, &options), 0);
    return map;
}

static inline struct sta_map *make_map(uint32_t type, uint32_t key_size, uint32_t value_size,
                                       uint32_t max_entries)
{
    return make_map_with(type, key_size, value_size, max_entries, 0);
}

/* Keys in the map. */
static inline uint32_t count_keys(struct sta_map *map)
{
    char key[512];
    uint32_t count = 0;

    for (int err = sta_map_next_key(map, NULL, key); err == 0;
         err = sta_map_next_key(map, key, key))
        count++;
    return count;
}

/* A child that runs until it is killed; it is not waited for. */
static inline pid_t start_child(void (*body)(void *), void *data)
{
    pid_t child = fork();

    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        body(data);
        _exit(0);
    }
    must(child > 0);
    return child;
}

/* Kills a child after some microseconds, so that it is hit at any instruction. */
static inline void kill_after(pid_t child, unsigned microseconds)
{
    int status;

    usleep(microseconds);
    must_equal(kill(child, SIGKILL), 0);
    must_equal(waitpid(child, &status, 0), child);
}

#endif
