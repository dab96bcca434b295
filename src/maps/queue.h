/* SPDX-License-Identifier: MIT */
#ifndef STA_MAPS_QUEUE_H
#define STA_MAPS_QUEUE_H

#include "maps/map.h"

extern const struct sta__map_ops sta__queue_ops, sta__stack_ops;

#endif
