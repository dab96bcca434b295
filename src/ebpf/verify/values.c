/* SPDX-License-Identifier: MIT */
/*
 * Which numbers the proof depends on.
 *
 * Most numbers are of no interest to it: a program that counts to 3 or to 4 is as safe. If the walk
 * has come by an instruction before, with other numbers, it need not go on, unless one of them was
 * needed: to take a branch without looking at the other one, to move a pointer, as a size.
 *
 * So each number of a state is a node, that knows what it was computed from:
 *
 *      r1 = *(u8 *)(r10 - 1)    a                     b = a & 7 is needed by the addition
 *      r2 = r1; r2 &= 7         b ─► a                to r3, and then so is a
 *      r3 += r2
 *
 * A state that is stored gets nodes of its own, and the walk goes on with nodes computed from them,
 * so that what is needed behind a state is needed in it, but not the other way round. Whether a
 * stack slot is read is kept in the same way: a slot's node is needed once somebody reads it.
 *
 * Node 0 stands for a number that is always needed.
 */
#include <stdlib.h>

#include "ebpf/verify/verifier.h"

static bool grow(void **array, uint32_t *room, uint32_t count, size_t size)
{
    uint32_t more;
    void *larger;

    if (count < *room)
        return true;
    more = *room ? *room * 2 : 256;
    larger = realloc(*array, more * size);
    if (!larger)
        return false;
    *array = larger;
    *room = more;
    return true;
}

uint32_t sta__value_new(struct sta__verifier *v, uint32_t from, uint32_t and_from)
{
    struct sta__values *values = &v->values;

    if (!values->count)
        values->count = 1;
    if (!grow((void **)&values->nodes, &values->room, values->count, sizeof(*values->nodes))) {
        values->out_of_memory = true;
        return 0;
    }
    values->nodes[values->count] = (struct sta__value){.from = {from, and_from}};
    return values->count++;
}

static void push(struct sta__values *values, uint32_t *depth, uint32_t value)
{
    if (!value || values->nodes[value].is_needed)
        return;
    values->nodes[value].is_needed = true;
    if (!grow((void **)&values->stack, &values->stack_room, *depth, sizeof(*values->stack)))
        values->out_of_memory = true;
    else
        values->stack[(*depth)++] = value;
}

/* Each node is marked once, so that all of this together takes time as there are nodes. */
void sta__value_need(struct sta__verifier *v, uint32_t value)
{
    struct sta__values *values = &v->values;
    uint32_t depth = 0;

    push(values, &depth, value);
    while (depth) {
        const struct sta__value *node = &values->nodes[values->stack[--depth]];

        push(values, &depth, node->from[0]);
        push(values, &depth, node->from[1]);
        for (uint32_t i = node->links; i; i = values->links[i].next)
            push(values, &depth, values->links[i].to);
    }
}

bool sta__value_is_needed(const struct sta__verifier *v, uint32_t value)
{
    return !value || v->values.nodes[value].is_needed;
}

void sta__value_link(struct sta__verifier *v, uint32_t value, uint32_t of)
{
    struct sta__values *values = &v->values;

    if (!of || value == of)
        return;
    if (sta__value_is_needed(v, value)) {
        sta__value_need(v, of);
        return;
    }
    if (!values->link_count)
        values->link_count = 1;
    if (!grow((void **)&values->links, &values->link_room, values->link_count,
              sizeof(*values->links))) {
        values->out_of_memory = true;
        return;
    }
    values->links[values->link_count] =
        (struct sta__value_link){.to = of, .next = values->nodes[value].links};
    values->nodes[value].links = values->link_count++;
}

void sta__values_free(struct sta__values *values)
{
    free(values->nodes);
    free(values->links);
    free(values->stack);
}
