/* SPDX-License-Identifier: MIT */
/*
 * Things that elements of maps stand for: maps, programs, perf events. In the maps' memory, which
 * processes share, stands a number; this says what the number is in this process. Forked children
 * inherit it; what another process made later is not known here, and its element is as if empty.
 */
#ifndef STA_MAPS_OBJECTS_H
#define STA_MAPS_OBJECTS_H

#include <stdint.h>

#define STA__OBJECTS_MAX 4096 /* of a process */

/* The object of this number; NULL: there is none here. On the dispatch path. */
void *sta__object_find(uint32_t id);

/* Gives an object this number, or with 0 the one that it has or one that is not in use. Returns
 * it; 0: there are too many, or another object has the number. From any thread. */
uint32_t sta__object_note(void *object, uint32_t id);

/* From now on its number leads nowhere. Who found it before may use it to the end of the section:
 * base/after_grace.h. */
void sta__object_forget(const void *object);

#endif
