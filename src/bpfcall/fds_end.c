/* SPDX-License-Identifier: MIT */
/* The end of descriptors: which objects are asked whether any is left, and when. See fds.h. */
#include <stdlib.h>

#include "bpfcall/bpfcall.h"
#include "bpfcall/descriptor.h"

/* Asks of one object whether a descriptor is left. The caller has got it. */
static void ask(struct sta__bpf *bpf, struct sta__fd_object *object)
{
    struct sta__lock_state saved;
    bool is_gone = false;

    sta__lock(&bpf->lock, &saved);
    if (object->has_fds && !sta__fd_is_open_somewhere(object->fd)) {
        is_gone = true;
        object->has_fds = false;
    } else if (object->has_fds) {
        object->was_closed = true;
        atomic_store(&bpf->has_closed, true);
    }
    sta__unlock(&bpf->lock, &saved);
    if (!is_gone)
        return;
    if (object->ops->closed)
        object->ops->closed(object);
    sta__fds_put(object); /* that of all descriptors */
}

/* The next one to be asked, got; in no order. */
static struct sta__fd_object *next_closed(struct sta__bpf *bpf)
{
    struct sta__lock_state saved;
    struct sta__fd_object *found = NULL;

    sta__lock(&bpf->lock, &saved);
    for (uint32_t i = 0; i < STA__FDS_BUCKETS && !found; i++) {
        found = bpf->buckets[i];
        while (found && !found->was_closed)
            found = found->next;
    }
    if (found) {
        found->was_closed = false;
        found->refs++;
    }
    sta__unlock(&bpf->lock, &saved);
    return found;
}

/* Each one once: those that are open elsewhere are marked again, for the next time. */
static void ask_marked(struct sta__bpf *bpf)
{
    uint32_t count = 0, room = atomic_load(&bpf->object_count);
    struct sta__fd_object **marked;

    if (!atomic_exchange(&bpf->has_closed, false))
        return;
    marked = calloc(room + 1, sizeof(*marked));
    while (marked && count < room && (marked[count] = next_closed(bpf)))
        count++;
    if (count == room)
        atomic_store(&bpf->has_closed, true);
    while (count > 0) {
        ask(bpf, marked[--count]);
        sta__fds_put(marked[count]);
    }
    free(marked);
}

static void mark_all(struct sta__bpf *bpf)
{
    struct sta__lock_state saved;

    sta__lock(&bpf->lock, &saved);
    for (uint32_t i = 0; i < STA__FDS_BUCKETS; i++) {
        for (struct sta__fd_object *object = bpf->buckets[i]; object; object = object->next)
            object->was_closed = true;
    }
    atomic_store(&bpf->has_closed, true);
    sta__unlock(&bpf->lock, &saved);
}

void sta__fds_closed(struct sta__bpf *bpf, struct sta__fd_object *object)
{
    if (object)
        ask(bpf, object);
    else
        mark_all(bpf);
    sta__fds_ask_again(bpf);
}

void sta__fds_ask_again(struct sta__bpf *bpf)
{
    if (atomic_load_explicit(&bpf->has_closed, memory_order_relaxed))
        ask_marked(bpf);
}
