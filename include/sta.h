/* SPDX-License-Identifier: MIT */
/*
 * libsta: attach C callbacks to the system calls of this process, in user space.
 *
 * This header includes the whole public interface. Each part can be included alone.
 */
#ifndef STA_H
#define STA_H

#include <sta/attach.h>
#include <sta/base.h>
#include <sta/bpfcall.h>
#include <sta/context.h>
#include <sta/map.h>
#include <sta/object.h>
#include <sta/program.h>
#include <sta/syscalls.h>
#include <sta/trace.h>
#include <sta/transform.h>

#endif
