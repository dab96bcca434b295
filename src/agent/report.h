/* SPDX-License-Identifier: MIT */
/* How this process is intercepted, mapping by mapping, in words. */
#ifndef STA_AGENT_REPORT_H
#define STA_AGENT_REPORT_H

struct sta;

/* From now on there is something to report, about this registry. */
void sta__agent_report_init(struct sta *sta);

/* Writes the report, if it was asked for. May be called in a callback whose call does not return,
 * and on the dispatch path outside of callbacks. */
void sta__agent_write_report(void);

#endif
