/* SPDX-License-Identifier: MIT */
/* See config.h. */
#include "agent/config.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/gate.h"

/* One name, and what it stands for, of a list. False: config->error says what is wrong. */
typedef bool (*item_fn)(struct sta__agent_config *config, char *item, bool given);

static bool complain(struct sta__agent_config *config, const char *setting, const char *text,
                     const char *about)
{
    snprintf(config->error, sizeof(config->error), STA__AGENT_PREFIX "%s: %s%.100s", setting, text,
             about);
    return false;
}

/* Calls `fn` for each of "item,item". */
static bool for_each_item(struct sta__agent_config *config, const char *setting, const char *list,
                          bool given, item_fn fn)
{
    char item[128];

    for (;;) {
        size_t n = strcspn(list, ",");

        if (n == 0)
            return complain(config, setting, "a name is missing in ", list);
        if (n >= sizeof(item))
            return complain(config, setting, "no system call is called ", list);
        memcpy(item, list, n);
        item[n] = '\0';
        if (!fn(config, item, given))
            return false;
        if (list[n] == '\0')
            return true;
        list += n + 1;
    }
}

static bool set_call(struct sta__agent_config *config, char *item, bool given)
{
    int sys_nr = sta_syscall_number(item);

    if (strcmp(item, "all") == 0) {
        memset(config->calls, given, sizeof(config->calls));
        config->all = given;
        return true;
    }
    if (sys_nr < 0)
        return complain(config, "CALLS", "no system call is called ", item);
    config->calls[sys_nr] = given;
    return true;
}

/* As for strace: a leading "!" is about the whole list. All calls but some still are all, as far as
 * those without a name are concerned. */
static bool parse_calls(struct sta__agent_config *config, const char *value)
{
    bool inverted = value[0] == '!';

    memset(config->calls, inverted, sizeof(config->calls));
    config->all = inverted;
    return for_each_item(config, "CALLS", value + inverted, !inverted, set_call);
}

static bool set_fail(struct sta__agent_config *config, char *item, bool given)
{
    char *is = strchr(item, '=');
    int sys_nr, number;

    (void)given;
    if (!is)
        return complain(config, "FAIL", "\"call=errno\" is expected, not ", item);
    *is = '\0';
    sys_nr = sta_syscall_number(item);
    if (sys_nr < 0)
        return complain(config, "FAIL", "no system call is called ", item);
    number = sta__agent_errno(is + 1);
    if (number == 0)
        return complain(config, "FAIL", "no errno is called ", is + 1);
    config->fail[sys_nr] = (short)number;
    return true;
}

static bool parse_fail(struct sta__agent_config *config, const char *value)
{
    return for_each_item(config, "FAIL", value, true, set_fail);
}

/* fd:N, or fd:N:DEVICE:INODE as the agent hands it on. */
static bool parse_fd(struct sta__agent_config *config, const char *value)
{
    struct sta__agent_target *target = &config->output;
    struct stat stat;
    char *end;
    long fd = strtol(value, &end, 10);

    if (end == value || fd < 0 || fd > INT_MAX || (*end && *end != ':'))
        return complain(config, "OUTPUT", "no descriptor: fd:", value);
    if (*end == ':') {
        target->device = strtoull(end + 1, &end, 10);
        target->inode = *end == ':' ? strtoull(end + 1, &end, 10) : 0;
        if (*end)
            return complain(config, "OUTPUT", "no descriptor: fd:", value);
    } else {
        if (STA__RAW2(SYS_fstat, fd, &stat) < 0)
            return complain(config, "OUTPUT", "not open: fd:", value);
        target->device = stat.st_dev;
        target->inode = stat.st_ino;
    }
    target->fd = (int)fd;
    return true;
}

/* The program may change its directory. */
static bool parse_file(struct sta__agent_config *config, const char *value)
{
    char *path = config->output.path;
    size_t length = 0;

    if (value[0] != '/') {
        if (STA__RAW2(SYS_getcwd, path, PATH_MAX) < 0 || path[0] != '/') {
            path[0] = '\0';
            return complain(config, "OUTPUT", "no current directory for ", value);
        }
        length = strlen(path);
        if (path[length - 1] != '/' && length < PATH_MAX - 1)
            path[length++] = '/';
    }
    if (length + strlen(value) >= PATH_MAX) {
        path[0] = '\0';
        return complain(config, "OUTPUT", "too long: ", value);
    }
    strcpy(path + length, value);
    return true;
}

static bool parse_output(struct sta__agent_config *config, const char *value)
{
    if (strncmp(value, "fd:", 3) == 0)
        return parse_fd(config, value + 3);
    return parse_file(config, value);
}

static bool parse_method(struct sta__agent_config *config, const char *value)
{
    if (strcmp(value, "rewrite") == 0)
        config->method = STA_METHOD_REWRITE;
    else if (strcmp(value, "sud") == 0)
        config->method = STA_METHOD_SUD;
    else
        return complain(config, "METHOD", "\"rewrite\" or \"sud\" is expected, not ", value);
    return true;
}

static bool parse_switch(struct sta__agent_config *config, const char *setting, const char *value,
                         bool *out)
{
    if (strcmp(value, "0") != 0 && strcmp(value, "1") != 0)
        return complain(config, setting, "0 or 1 is expected, not ", value);
    *out = value[0] == '1';
    return true;
}

static bool parse_count(struct sta__agent_config *config, const char *value)
{
    return parse_switch(config, "COUNT", value, &config->count);
}

static bool parse_report(struct sta__agent_config *config, const char *value)
{
    return parse_switch(config, "REPORT", value, &config->report);
}

static bool parse_exhaustive(struct sta__agent_config *config, const char *value)
{
    bool on = false;

    if (!parse_switch(config, "EXHAUSTIVE", value, &on))
        return false;
    if (on)
        config->flags |= STA_TRANSFORM_EXHAUSTIVE;
    return true;
}

static const struct {
    const char *name;
    bool (*parse)(struct sta__agent_config *config, const char *value);
} settings[] = {
    {"OUTPUT", parse_output}, /* first: it is where complaints go */
    {"CALLS", parse_calls},   {"COUNT", parse_count},   {"EXHAUSTIVE", parse_exhaustive},
    {"FAIL", parse_fail},     {"METHOD", parse_method}, {"REPORT", parse_report},
};

#define SETTING_COUNT (sizeof(settings) / sizeof(settings[0]))

/* The value of STA_AGENT_<name>; NULL if `variable` is another. */
static const char *value_of(const char *variable, const char *name)
{
    const size_t prefix = sizeof(STA__AGENT_PREFIX) - 1, length = strlen(name);

    if (strncmp(variable, STA__AGENT_PREFIX, prefix) != 0 ||
        strncmp(variable + prefix, name, length) != 0 || variable[prefix + length] != '=')
        return NULL;
    return variable + prefix + length + 1;
}

static bool is_known(const char *variable)
{
    if (strncmp(variable, STA__AGENT_PREFIX, sizeof(STA__AGENT_PREFIX) - 1) != 0)
        return true;
    for (size_t i = 0; i < SETTING_COUNT; i++)
        if (value_of(variable, settings[i].name))
            return true;
    return false;
}

bool sta__agent_configure(struct sta__agent_config *config, char *const *environment)
{
    bool is_right = true;

    memset(config, 0, sizeof(*config));
    config->output.fd = -1;
    memset(config->calls, true, sizeof(config->calls));
    config->all = true;
    for (size_t i = 0; i < SETTING_COUNT && is_right; i++)
        for (char *const *at = environment; *at && is_right; at++) {
            const char *value = value_of(*at, settings[i].name);

            if (value && *value)
                is_right = settings[i].parse(config, value);
        }
    for (; *environment && is_right; environment++)
        if (!is_known(*environment)) {
            snprintf(config->error, sizeof(config->error), "no such setting: %.100s", *environment);
            is_right = false;
        }
    return is_right;
}
