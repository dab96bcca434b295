/* SPDX-License-Identifier: MIT */
/* See output.h. */
#include "agent/output.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <time.h>

#include "base/gate.h"
#include "base/memory.h"

#define PROGRAM_NAME_MAX 64

static struct {
    struct sta__agent_target target;
    char program[PROGRAM_NAME_MAX];
    _Atomic bool muted;
    struct sta__lock lock; /* protects the text */
    size_t used;
    char text[128 * 1024];
} output = {.target.fd = -1};

void sta__agent_output_init(const struct sta__agent_target *target, const char *program)
{
    size_t i;

    sta__memory_copy(&output.target, target, sizeof(*target));
    for (i = 0; program[i] && i < PROGRAM_NAME_MAX - 1; i++)
        output.program[i] = program[i];
    output.program[i] = '\0';
}

void sta__agent_output_mute(bool mute)
{
    /* Relaxed: for the thread itself, mostly. */
    atomic_store_explicit(&output.muted, mute, memory_order_relaxed);
}

bool sta__agent_begin(struct sta__agent_text *text)
{
    if ((!output.target.path[0] && output.target.fd < 0) ||
        atomic_load_explicit(&output.muted, memory_order_relaxed))
        return false;
    sta__lock(&output.lock, &text->saved);
    output.used = 0;
    return true;
}

static bool is_same_file(int fd, const struct sta__agent_target *target)
{
    struct stat stat;

    return STA__RAW2(SYS_fstat, fd, &stat) == 0 && stat.st_dev == target->device &&
           stat.st_ino == target->inode;
}

/* Without O_NONBLOCK a pipe that nobody reads would hold up the program for good right here. */
static int open_file(const char *path)
{
    const int how = O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY;
    int fd = (int)STA__RAW4(SYS_openat, AT_FDCWD, path, how | O_NONBLOCK, 0666);

    if (fd >= 0)
        STA__RAW3(SYS_fcntl, fd, F_SETFL, O_APPEND);
    return fd;
}

static int open_target(void)
{
    if (output.target.path[0])
        return open_file(output.target.path);
    return is_same_file(output.target.fd, &output.target) ? output.target.fd : -1;
}

/* A write that fails must not kill the program: takes back the signal that came of it. (Signals are
 * blocked, by the lock.) */
static void take_back(int signal)
{
    const struct timespec now = {0};
    uint64_t set = UINT64_C(1) << (signal - 1);

    STA__RAW4(SYS_rt_sigtimedwait, &set, 0, &now, sizeof(set));
}

/* In one call: what other processes write to the same file comes before or behind. */
static void write_text(void)
{
    int fd = open_target();
    int64_t written;

    if (fd < 0)
        return;
    written = STA__RAW3(SYS_write, fd, output.text, output.used);
    if (written == -EPIPE)
        take_back(SIGPIPE);
    else if (written == -EFBIG)
        take_back(SIGXFSZ);
    if (output.target.path[0])
        STA__RAW1(SYS_close, fd);
}

void sta__agent_end(struct sta__agent_text *text)
{
    write_text();
    sta__unlock(&output.lock, &text->saved);
}

void sta__agent_add(const char *string)
{
    while (*string && output.used < sizeof(output.text))
        output.text[output.used++] = *string++;
}

void sta__agent_add_number(uint64_t number, unsigned width)
{
    char digits[24];
    char *at = digits + sizeof(digits) - 1;

    *at = '\0';
    do {
        *--at = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    for (unsigned have = (unsigned)(digits + sizeof(digits) - 1 - at); have < width; have++)
        sta__agent_add(" ");
    sta__agent_add(at);
}

void sta__agent_add_head(void)
{
    sta__agent_add("sta-agent: pid ");
    sta__agent_add_number((uint64_t)STA__RAW0(SYS_getpid), 0);
    sta__agent_add(" (");
    sta__agent_add(output.program);
    sta__agent_add("): ");
}

void sta__agent_line(const char *first, const char *second, const char *third)
{
    struct sta__agent_text text;

    if (!sta__agent_begin(&text))
        return;
    sta__agent_add_head();
    sta__agent_add(first);
    if (second)
        sta__agent_add(second);
    if (third)
        sta__agent_add(third);
    sta__agent_add("\n");
    sta__agent_end(&text);
}
