/* SPDX-License-Identifier: MIT */
/*
 * Brings the code of all images in line with what is attached. The caller holds sta__images_lock.
 * No libc.
 */
#ifndef STA_TRANSFORM_SYNC_H
#define STA_TRANSFORM_SYNC_H

#include <stdbool.h>

#include "transform/images.h"

struct sta;

/* Rewrites the sites that `sta` wants to see and restores the others; NULL: restores all. 0, or the
 * first -errno; then some sites are not as they should be. */
int sta__sync(struct sta *sta);

/* Restores the sites in images that overlap these addresses; of guests only, if so asked. And the
 * paddings, if no other thread can be on its way through one. */
int sta__sync_restore(uintptr_t start, uintptr_t end, bool guests_only);

/* From now on all sites are wanted, whatever is attached, or no longer. */
void sta__sync_want_all(bool all);

/* Restores all but the sites of calls that map and unmap code. */
int sta__sync_most(void);

/* Gives the paddings of restored sites back. A thread may have been just about to execute one: not
 * before every other thread has moved on. */
int sta__sync_paddings(void);

/* Whether rewritten sites lead to some. */
bool sta__sync_uses_paddings(void);

/* Whether the site is rewritten right now. */
bool sta__sync_is_rewritten(const struct sta__image *image, const struct sta__image_site *site);

#endif
