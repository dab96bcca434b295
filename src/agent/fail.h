/* SPDX-License-Identifier: MIT */
/* Calls that fail because the settings say so. */
#ifndef STA_AGENT_FAIL_H
#define STA_AGENT_FAIL_H

#include <sta/attach.h>

#include "agent/config.h"

/* Attaches what lets them fail. 0 or -errno. Not on the dispatch path. */
int sta__agent_fail(struct sta *sta, const struct sta__agent_config *config);

#endif
