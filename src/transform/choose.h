/* SPDX-License-Identifier: MIT */
/*
 * The methods, best first: each of these functions fills in the site and returns true if its method
 * works there. Shared between the files that find sites.
 */
#ifndef STA_TRANSFORM_CHOOSE_H
#define STA_TRANSFORM_CHOOSE_H

#include "transform/code_map.h"

/* Sets the reason for the next method if it returns false. */
bool sta__choose_mov(const struct sta__code_map *map, struct sta__site *site);
bool sta__choose_detour(const struct sta__code_map *map, struct sta__site *site);

/* Where padding for a short jump is looked for. */
struct sta__short_effort {
    unsigned hops; /* at most */
    bool around;   /* not only in functions decoded so far, but in all within reach */
    bool spare;    /* in nops that are executed, too */
};

bool sta__choose_short(struct sta__code_map *map, struct sta__site *site,
                       const struct sta__short_effort *effort);

/* After that: a short jump into an instruction that is displaced. */
bool sta__choose_displacing(struct sta__code_map *map, struct sta__site *site);

#endif
