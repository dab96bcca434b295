/* SPDX-License-Identifier: MIT */
#ifndef STA_ATTACH_HOOK_H
#define STA_ATTACH_HOOK_H

struct sta;

/* If `sta` is the global registry, there is none from now on. */
void sta__hook_forget(struct sta *sta);

#endif
