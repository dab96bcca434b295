/* SPDX-License-Identifier: MIT */
/*
 * Longest prefix match. A key is a struct bpf_lpm_trie_key: the number of bits that count, then the
 * bytes they are the first of. There is no trie: prefixes are the keys of a hash map, bits that do
 * not count set to 0, and a count for each length says which lengths there are. Looking up tries
 * these, the longest first. So all that hash.h says of concurrency holds here.
 *
 * A count is raised before a prefix comes and lowered when it is gone: whoever is killed in between
 * leaves it too high, which costs a look and nothing else.
 *
 * The walk goes from long prefixes to short ones. It gives prefixes with the bits that do not count
 * as 0, where the kernel gives what was written there. On the dispatch path.
 */
#ifndef STA_MAPS_LPM_H
#define STA_MAPS_LPM_H

#include "maps/map.h"

#define STA__LPM_DATA_MAX 256 /* bytes */

extern const struct sta__map_ops sta__lpm_ops;

#endif
