/* SPDX-License-Identifier: MIT */
/* The current task, as an address in its image. On the dispatch path. */
#include "ebpf/helpers.h"
#include "ebpf/task.h"

STA__HELPER_FUNCTION(get_current_task)
{
    (void)r1, (void)r2, (void)r3, (void)r4, (void)r5;
    return sta__task_address(sta__task_self(), STA__TASK_TASK);
}
