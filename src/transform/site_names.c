/* SPDX-License-Identifier: MIT */
#include <sta/transform.h>

static const char *const method_names[STA_SITE_METHOD_COUNT] = {
    [STA_SITE_LEFT] = "left",     [STA_SITE_MOV] = "mov",   [STA_SITE_SHORT] = "short jump",
    [STA_SITE_DETOUR] = "detour", [STA_SITE_TRAP] = "trap",
};

static const char *const reason_texts[STA_REASON_COUNT] = {
    [STA_REASON_NONE] = "the best method",
    [STA_REASON_NO_MOV] = "no mov of the number just before it",
    [STA_REASON_JUMPED_TO] = "something jumps to it, behind the mov",
    [STA_REASON_NO_PADDING] = "no padding in reach",
    [STA_REASON_NO_DETOUR] = "no earlier instruction that can be moved",
    [STA_REASON_NO_CODE] = "a part of another instruction",
    [STA_REASON_UNKNOWN_CODE] = "where instructions begin is not known",
    [STA_REASON_CANCELLATION] = "its address is a cancellation point of the C library",
    [STA_REASON_TOO_FAR] = "no free memory within 2 GiB",
    [STA_REASON_READ_ONLY] = "the kernel does not allow to write there",
    [STA_REASON_THREADS] = "only a trap would do, and other threads may block its signal",
};

const char *sta_site_method_name(enum sta_site_method method)
{
    return (unsigned)method < STA_SITE_METHOD_COUNT ? method_names[method] : "unknown";
}

const char *sta_site_reason_text(enum sta_site_reason reason)
{
    return (unsigned)reason < STA_REASON_COUNT ? reason_texts[reason] : "unknown";
}
