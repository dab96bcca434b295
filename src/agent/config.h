/* SPDX-License-Identifier: MIT */
/*
 * The settings of the preloaded agent, from the environment:
 *
 *   LD_PRELOAD=/usr/local/lib/libsta-agent.so STA_AGENT_COUNT=1 STA_AGENT_OUTPUT=counts.txt make
 *
 *   STA_AGENT_OUTPUT      Where the agent writes: a file, which is appended to, or fd:N, an open
 *                         descriptor. Unset: it writes nothing at all.
 *   STA_AGENT_COUNT=1     Count calls and errors; each process adds a table when it ends.
 *   STA_AGENT_CALLS=LIST  Which calls are counted, as for strace -e: "read,write", "all" (the
 *                         default), "!futex,poll" (all but these).
 *   STA_AGENT_FAIL=LIST   Let calls fail without making them: "unlink=EPERM,connect=ECONNREFUSED".
 *   STA_AGENT_REPORT=1    Each process adds how its system call instructions are intercepted.
 *   STA_AGENT_METHOD=M    "rewrite" or "sud" (Syscall User Dispatch); unset: the best that works.
 *   STA_AGENT_EXHAUSTIVE=1  See STA_TRANSFORM_EXHAUSTIVE: code in no ELF file, too.
 *
 * A variable that is set to nothing counts as unset; switches take 0 and 1. With a setting that is
 * wrong, the agent writes what is wrong, and the program runs without it.
 */
#ifndef STA_AGENT_CONFIG_H
#define STA_AGENT_CONFIG_H

#include <linux/limits.h>
#include <stdbool.h>
#include <stdint.h>

#include <sta/syscalls.h>
#include <sta/transform.h>

#include "agent/output.h"

#define STA__AGENT_PREFIX "STA_AGENT_"

struct sta__agent_config {
    struct sta__agent_target output;
    bool count;
    bool report;
    bool all;                      /* every call is counted, also those without a name */
    bool calls[STA_SYSCALL_LIMIT]; /* these are */
    short fail[STA_SYSCALL_LIMIT]; /* errno to fail with; 0: none */
    enum sta_transform_method method;
    unsigned flags;  /* STA_TRANSFORM_* */
    char error[256]; /* what is wrong with the settings, if something is */
};

/* Fills *config. False: something is wrong, and config->error says what; config->output is filled
 * in if that was right. Not on the dispatch path. */
bool sta__agent_configure(struct sta__agent_config *config, char *const *environment);

/* The number of an errno's name ("EPERM"); 0: there is none of this name. */
int sta__agent_errno(const char *name);

#endif
