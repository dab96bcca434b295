/* SPDX-License-Identifier: MIT */
#include "base/after_grace.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/grace.h"
#include "base/quiesce.h"

/* Pushed to one by one, and taken as a whole. */
static _Atomic(struct sta__after_grace *) waiting;

static void push(struct sta__after_grace *what)
{
    what->next = atomic_load_explicit(&waiting, memory_order_relaxed);
    /* Release: who takes it sees it filled in. */
    while (!atomic_compare_exchange_weak_explicit(&waiting, &what->next, what, memory_order_release,
                                                  memory_order_relaxed))
        ;
}

static struct sta__after_grace *take_all(void)
{
    return atomic_load_explicit(&waiting, memory_order_relaxed)
               ? atomic_exchange_explicit(&waiting, NULL, memory_order_acquire)
               : NULL;
}

static enum sta__grace wait_for_others(void)
{
    /* Where no section can be there is nobody to wait for. */
    return atomic_load_explicit(&sta__readers, memory_order_acquire) ? sta__grace_wait()
                                                                     : STA__GRACE_OVER;
}

/* Whether the only section that could still use it is over. */
static bool is_over(const struct sta__after_grace *what)
{
    /* Acquire: pairs with the release that leaves the section. */
    return what->reader &&
           atomic_load_explicit(&what->reader->state, memory_order_acquire) != what->state;
}

/* `grace`: of a wait since all of them were pushed. */
static void end_all(struct sta__after_grace *what, enum sta__grace grace)
{
    struct sta__reader *own = sta__self.reader;

    while (what) {
        struct sta__after_grace *next = what->next;

        if (grace == STA__GRACE_OVER || is_over(what)) {
            what->end(what);
        } else {
            if (grace == STA__GRACE_INSIDE && !what->reader) {
                what->reader = own;
                what->state = atomic_load_explicit(&own->state, memory_order_relaxed);
            }
            push(what);
        }
        what = next;
    }
}

void sta__after_grace_rest(void)
{
    struct sta__after_grace *what = take_all();

    if (what)
        end_all(what, wait_for_others());
}

void sta__after_grace(struct sta__after_grace *what, void (*end)(struct sta__after_grace *self))
{
    enum sta__grace grace;

    what->end = end;
    what->reader = NULL;
    what->next = NULL;
    grace = wait_for_others();
    end_all(what, grace);
    if (grace == STA__GRACE_OVER)
        sta__after_grace_rest();
}
