/* SPDX-License-Identifier: MIT */
/* Maps that came from elsewhere, and their memfd: between fds.c and maps. */
#ifndef STA_BPFCALL_ADOPT_H
#define STA_BPFCALL_ADOPT_H

#include <sys/stat.h>

#include "bpfcall/fds.h"

/* Makes a map known by its memfd, of which `stat` is what fstat(2) says, got; NULL: it is none. */
struct sta__fd_object *sta__adopt_map(struct sta__bpf *bpf, int fd, const struct stat *stat);

/* The map's descriptor is now the object's. */
void sta__adopt_set_fd(struct sta__fd_object *object);

#endif
