/* SPDX-License-Identifier: MIT */
/*
 * Ring buffers, in the kernel's layout, so that what consumes the kernel's can consume ours:
 *
 *      head │ consumer's page │ producers' page │ data │ data again
 *           │ position        │ position, lock  │      │
 *
 *      record:  | length, BUSY, DISCARD | page offset | sample .. | to a multiple of 8
 *                 4 bytes                 4 bytes
 *
 * Positions count bytes ever consumed and reserved; data is mapped twice in a row, so that a record
 * never ends in the middle. To the consumer there are records up to the producers' position, and it
 * stops at the first that is BUSY. So the order of stores is
 *
 *   reserve   length | BUSY, thread    under the lock
 *             position of producers    release: now the consumer sees the record
 *   submit    length, page offset      one exchange: now the record is the consumer's. Then, behind
 *                                      the full barrier of it, whether the consumer waits for it
 *
 * A producer may be killed in between. In the kernel that cannot be, and the consumer would wait
 * for its record for ever. Here a record that is BUSY has its thread's number in the place of the
 * page offset; producers, now and then and when there is no room, and our own consumer look whether
 * that thread is there, and discard its record if not.
 *
 * On the dispatch path.
 */
#ifndef STA_MAPS_RING_H
#define STA_MAPS_RING_H

#include "maps/map.h"

/* Of the first four bytes of a record, as in linux/bpf.h: BPF_RINGBUF_BUSY_BIT, _DISCARD_BIT. */
#define STA__RING_BUSY        (UINT32_C(1) << 31)
#define STA__RING_DISCARD     (UINT32_C(1) << 30)
#define STA__RING_HEADER_SIZE 8

/* Both halves change together: what is in the upper one depends on BUSY. */
struct sta__ring_header {
    /* Bits 0 to 31: the length of the sample, BUSY, DISCARD. From 32 on: the page of the record,
     * counted from the head's; BUSY: the thread. */
    _Atomic uint64_t word;
};

extern const struct sta__map_ops sta__ring_ops;

/* bpf_ringbuf_reserve: room for a sample; NULL: there is none. */
void *sta__ring_reserve(struct sta_map *map, uint64_t size);

/* bpf_ringbuf_submit and _discard, of a sample that was reserved by this process. */
void sta__ring_commit(void *sample, uint64_t flags, bool discard);

/* bpf_ringbuf_output: 0, -EINVAL, -EAGAIN: no room. */
long sta__ring_output(struct sta_map *map, const void *data, uint64_t size, uint64_t flags);

/* bpf_ringbuf_query. */
uint64_t sta__ring_query(struct sta_map *map, uint64_t what);

/* Discards records of producers that are gone where the consumer stands: that at its position, and
 * those behind it, up to the first that is none. */
void sta__ring_discard_left(struct sta_map *map);

/* So that samples lead to their map: noted while it exists. -ENFILE: there are too many. */
int sta__ring_note(struct sta_map *map);
void sta__ring_forget(struct sta_map *map);

#endif
