/* SPDX-License-Identifier: MIT */
/*
 * What has to wait for others before it ends: something that sections entered before may still be
 * using, and later ones do not find any more.
 */
#ifndef STA_BASE_AFTER_GRACE_H
#define STA_BASE_AFTER_GRACE_H

#include <stdint.h>

struct sta__reader;

/* A part of what is to end. */
struct sta__after_grace {
    struct sta__after_grace *next;
    void (*end)(struct sta__after_grace *self);
    /* Only the section of this record, while its state is this, may still use it; NULL: others may,
     * too. */
    struct sta__reader *reader;
    uint64_t state;
};

/*
 * Waits for the sections that were entered before, and calls `end`. Nobody can wait for the section
 * that the caller itself is in, as callbacks are: then it is left to sta__after_grace_rest(), and
 * `end`, which may free memory, is not called in a callback that may run inside malloc. Waits for
 * callbacks on other threads: hold no lock.
 */
void sta__after_grace(struct sta__after_grace *what, void (*end)(struct sta__after_grace *self));

/* Ends what was left so, as far as it can: in a callback, what was left by sections before this
 * one. The calls that maps and programs are made and given back by do this outside of callbacks;
 * whoever makes them inside has to see to it. */
void sta__after_grace_rest(void);

#endif
