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

/* Where padding for a short jump is looked for, the cheapest first: in functions decoded so far,
 * then around the site as well; in reach of the site, then by way of a hop; at last, in nops that
 * are executed. */
enum sta__short_effort {
    STA__SHORT_KNOWN,
    STA__SHORT_AROUND,
    STA__SHORT_HOP,
    STA__SHORT_HOP_AROUND,
    STA__SHORT_SPARE,
};

bool sta__choose_short(struct sta__code_map *map, struct sta__site *site,
                       enum sta__short_effort effort);

#endif
