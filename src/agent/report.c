/* SPDX-License-Identifier: MIT */
/* See report.h. */
#include "agent/report.h"

#include <stdatomic.h>

#include <sta/transform.h>

#include "agent/output.h"
#include "base/vectors.h"

static struct sta *reported;

void sta__agent_report_init(struct sta *sta)
{
    sta__vectors_need(); /* it is written by ordinary C code, in the middle of a call */
    reported = sta;
}

static void add_count(const char *before, unsigned count, const char *what)
{
    sta__agent_add(before);
    sta__agent_add_number(count, 0);
    sta__agent_add(" ");
    sta__agent_add(what);
}

static void add_methods(const unsigned *by_method)
{
    const char *before = ": ";

    for (int method = STA_SITE_METHOD_COUNT - 1; method >= 0; method--) {
        /* Best first; those left alone come last. */
        int at = method == 0 ? STA_SITE_LEFT : STA_SITE_METHOD_COUNT - method;

        if (by_method[at] == 0)
            continue;
        add_count(before, by_method[at], sta_site_method_name((enum sta_site_method)at));
        before = ", ";
    }
    sta__agent_add("\n");
}

static void add_mapping(const struct sta_transform_mapping *mapping)
{
    sta__agent_add("  ");
    sta__agent_add(mapping->path[0] ? mapping->path : "(no file)");
    add_count(": ", mapping->sites, "sites");
    add_count(", ", mapping->rewritten, "rewritten now");
    add_methods(mapping->by_method);
    for (int reason = STA_REASON_NONE + 1; reason < STA_REASON_COUNT; reason++) {
        if (mapping->by_reason[reason] == 0)
            continue;
        add_count("    ", mapping->by_reason[reason],
                  sta_site_reason_text((enum sta_site_reason)reason));
        sta__agent_add("\n");
    }
}

static void add_report(void)
{
    struct sta_transform_report report = {.size = sizeof(report)};
    struct sta_transform_mapping mapping = {.size = sizeof(mapping)};

    if (sta_transform_report(reported, &report) < 0)
        return;
    sta__agent_add_head();
    sta__agent_add(report.method == STA_METHOD_REWRITE ? "rewriting" : "Syscall User Dispatch");
    if (report.threads || report.threads_left) {
        add_count(", ", report.threads, "threads dispatched");
        add_count(", ", report.threads_left, "left");
    }
    add_count(", ", report.mappings, "mappings");
    add_count(", ", report.sites, "sites");
    add_count(", ", report.rewritten, "rewritten now");
    add_methods(report.by_method);
    for (unsigned i = 0; sta_transform_mapping(reported, i, &mapping) == 0; i++)
        add_mapping(&mapping);
}

static int write_report(void *ctx, size_t ctx_size, uint64_t *ret, void *user_data)
{
    struct sta__agent_text text;

    (void)ctx, (void)ctx_size, (void)ret, (void)user_data;
    if (!sta__agent_begin(&text))
        return 0;
    add_report();
    sta__agent_end(&text);
    return 0;
}

void sta__agent_write_report(void)
{
    uint64_t ret = 0;

    if (reported)
        sta__call_with_vectors_saved(write_report, NULL, 0, &ret, NULL);
}
