/* SPDX-License-Identifier: MIT */
/* What a log callback was told: how often, and what last. */
#ifndef TESTS_SAID_H
#define TESTS_SAID_H

#include <stdio.h>

#include <sta/base.h>

struct said {
    char text[512];
    int lines;
};

static void note(void *data, enum sta_log_level level, const char *message)
{
    struct said *said = data;

    (void)level;
    snprintf(said->text, sizeof(said->text), "%s", message);
    said->lines++;
}

#endif
