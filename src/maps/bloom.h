/* SPDX-License-Identifier: MIT */
#ifndef STA_MAPS_BLOOM_H
#define STA_MAPS_BLOOM_H

#include "maps/map.h"

extern const struct sta__map_ops sta__bloom_ops;

#endif
