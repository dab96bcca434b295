# Maps: what makes them; included by ../CMakeLists.txt, which lists what programs do with them among
# the sources of the dispatch path.
target_sources(sta PRIVATE
    maps/cgroup_set.c
    maps/lease_set.c
    maps/map_batch.c
    maps/map_close.c
    maps/map_create.c
    maps/map_info.c
    maps/objects_held.c
    maps/objects_set.c
    maps/perf_consume.c
    maps/perf_ring_create.c
    maps/ring_consume.c
    maps/types.c
    maps/types_array.c
    maps/types_hash.c
    maps/types_objects.c
    maps/types_other.c)
