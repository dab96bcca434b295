/* SPDX-License-Identifier: MIT */
/*
 * Following execve; see exec.h. On the dispatch path: general registers only, no libc.
 *
 * The environment that the call gets is put together in a mapping of its own: the stack may be a
 * vfork child's, or a goroutine's, and small.
 *
 *      struct work | envp: the program's pointers, then ours, NULL | "LD_PRELOAD=ours:theirs"
 *
 * A call that fails gives the mapping back. One that succeeds takes it along with the rest of the
 * memory; but memory that was borrowed (vfork) goes on to be the lender's, who gives it back then.
 * (A child that shares memory with a parent who does not wait for it leaves the mapping behind.)
 *
 * All that the application points to is read through the kernel: where it is wrong, the call has to
 * fail with EFAULT, and goes to the kernel as it is.
 */
#include "transform/exec.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/limits.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>

#include "base/gate.h"
#include "base/memory.h"
#include "transform/entry.h"
#include "transform/program.h"
#include "transform/signals.h"

/* The kernel takes no longer ones (MAX_ARG_STRLEN), and will not take more. */
#define STRING_MAX        ((size_t)32 * 4096)
#define VARIABLE_MAX      ((size_t)1 << 20)
#define VARIABLE_NAME_MAX 64 /* of one that concerns us */

#define OWN_VARIABLES 3 /* besides settings: LD_PRELOAD, what was executed, NULL */

#define PRELOAD        "LD_PRELOAD="
#define PRELOAD_LENGTH (sizeof(PRELOAD) - 1)

_Atomic(const struct sta__exec_follow *) sta__exec_follow;

struct work {
    size_t size; /* of the mapping */
    char path[PATH_MAX];
    struct sta__program_work program;
    size_t count; /* of the program's variables; `envp` has that many, our own, and NULL */
    const char *envp[];
};

/* What the program's environment has, as far as it concerns us. */
struct found {
    uint32_t settings; /* one bit for each of ours */
    size_t preload;    /* index of LD_PRELOAD; the number of variables: it is not there */
};

/* What a child that borrows this thread's memory has in hand. */
static STA__THREAD_LOCAL struct work *lent;

static size_t length(const char *string)
{
    size_t n = 0;

    while (string[n])
        n++;
    return n;
}

/* Up to `size` bytes of a string of the application's, to its end or as far as they are there:
 * memory may end behind it. Returns how many there are. */
static size_t read_string(char *to, const char *from, size_t size)
{
    size_t done = 0;

    while (done < size) {
        size_t part = 4096 - ((uintptr_t)(from + done) & 4095);

        if (part > size - done)
            part = size - done;
        if (!sta__memory_read(to + done, from + done, part))
            break;
        for (size_t end = done + part; done < end; done++)
            if (to[done] == '\0')
                return done + 1;
    }
    return done;
}

static bool read_whole_string(char *to, const char *from, size_t size)
{
    size_t got = read_string(to, from, size);

    return got > 0 && to[got - 1] == '\0';
}

/* How many variables there are; VARIABLE_MAX: too many, or they cannot be read. */
static size_t count_variables(const char *const *envp)
{
    const char *part[8]; /* the stack may be small */
    size_t count = 0;

    while (envp && count < VARIABLE_MAX) {
        size_t fit = (4096 - ((uintptr_t)(envp + count) & 4095)) / sizeof(*envp);

        if (fit == 0) /* one that lies across two pages */
            fit = 1;
        if (fit > sizeof(part) / sizeof(*part))
            fit = sizeof(part) / sizeof(*part);
        if (!sta__memory_read(part, envp + count, fit * sizeof(*envp)))
            return VARIABLE_MAX;
        for (size_t i = 0; i < fit; i++, count++)
            if (!part[i])
                return count;
    }
    return count;
}

static struct work *map_work(size_t variable_count, const struct sta__exec_follow *follow)
{
    size_t size = sizeof(struct work) +
                  (variable_count + follow->setting_count + OWN_VARIABLES) * sizeof(const char *) +
                  PRELOAD_LENGTH + length(follow->preload) + 1 + STRING_MAX;
    int64_t at =
        STA__RAW6(SYS_mmap, 0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct work *work = (struct work *)at;

    if (at < 0)
        return NULL;
    work->size = size;
    work->count = variable_count;
    return work;
}

static void unmap_work(struct work *work)
{
    STA__RAW2(SYS_munmap, work, work->size);
}

/* Whether `variable` sets the same name as `setting`. */
static bool is_same_name(const char *variable, const char *setting)
{
    while (*variable == *setting && *setting != '=' && *setting)
        variable++, setting++;
    return *variable == '=' && *setting == '=';
}

static bool search(struct work *work, const struct sta__exec_follow *follow, struct found *found)
{
    char name[VARIABLE_NAME_MAX + 1];

    found->settings = 0;
    found->preload = work->count;
    for (size_t i = 0; i < work->count; i++) {
        size_t got = read_string(name, work->envp[i], VARIABLE_NAME_MAX);

        if (got == 0)
            return false;
        name[got] = '\0';
        if (is_same_name(name, PRELOAD))
            found->preload = i; /* of several the loader believes the last */
        for (unsigned s = 0; s < follow->setting_count; s++)
            if (is_same_name(name, follow->settings[s]))
                found->settings |= 1u << s;
    }
    return true;
}

/* Whether a list as in LD_PRELOAD has this element. */
static bool has_element(const char *list, const char *element)
{
    while (*list) {
        size_t n = 0;

        while (list[n] == element[n] && list[n])
            n++;
        if (!element[n] && (list[n] == ':' || list[n] == ' ' || !list[n]))
            return true;
        while (*list && *list != ':' && *list != ' ')
            list++;
        while (*list == ':' || *list == ' ')
            list++;
    }
    return false;
}

/* Puts the library in front of what is preloaded already. False: that cannot be read. */
static bool add_library(struct work *work, const char *library, size_t preload, size_t *count,
                        char *text)
{
    size_t size = length(library);
    char *value = text + PRELOAD_LENGTH, *theirs = value + size;

    sta__memory_copy(text, PRELOAD, PRELOAD_LENGTH);
    sta__memory_copy(value, library, size);
    if (preload == work->count) {
        *theirs = '\0';
        work->envp[(*count)++] = text;
        return true;
    }
    if (!read_whole_string(theirs + 1, work->envp[preload] + PRELOAD_LENGTH, STRING_MAX))
        return false;
    *theirs = theirs[1] ? ':' : '\0';
    if (!has_element(theirs + 1, library))
        work->envp[preload] = text;
    return true;
}

/* Makes work->envp of the program's environment. False: it cannot be read. */
static bool make_environment(struct work *work, const char *const *envp,
                             const struct sta__exec_follow *follow, bool is_at)
{
    size_t count = work->count;
    struct found found;

    if (count > 0 && !sta__memory_read(work->envp, envp, count * sizeof(*envp)))
        return false;
    if (!search(work, follow, &found) ||
        !add_library(work, follow->preload, found.preload, &count,
                     (char *)(work->envp + work->count + follow->setting_count + OWN_VARIABLES)))
        return false;
    for (unsigned s = 0; s < follow->setting_count; s++)
        if (!(found.settings & (1u << s)))
            work->envp[count++] = follow->settings[s];
    if (follow->executed[is_at])
        work->envp[count++] = follow->executed[is_at];
    work->envp[count] = NULL;
    return true;
}

static int64_t make_call(struct sta__call *call)
{
    const unsigned long *args = call->enter.args;

    if (!sta__signals_call(call))
        call->ret = STA__RAW6(call->enter.id, args[0], args[1], args[2], args[3], args[4], args[5]);
    return call->ret;
}

/* The call with the environment in `work`; where that is what makes it too long, without. */
static void make_followed(struct sta__call *call, struct work *work, unsigned long *envp)
{
    unsigned long given = *envp;

    if (sta__entry_borrows)
        lent = work;
    *envp = (unsigned long)work->envp;
    make_call(call);
    *envp = given;
    if (call->ret == -E2BIG)
        make_call(call);
    lent = NULL;
}

bool sta__exec_call(struct sta__call *call)
{
    const struct sta__exec_follow *follow =
        atomic_load_explicit(&sta__exec_follow, memory_order_acquire);
    unsigned long *args = call->enter.args;
    bool is_at = call->enter.id == SYS_execveat;
    unsigned long *path = args + is_at, *envp = args + 2 + is_at;
    enum sta__exec_kind kind;
    struct work *work;
    size_t count;

    if (!follow)
        return false;
    count = count_variables((const char *const *)*envp);
    work = count < VARIABLE_MAX ? map_work(count, follow) : NULL;
    if (!work)
        return false;
    if (read_whole_string(work->path, (const char *)*path, sizeof(work->path)) &&
        sta__program_kind(&work->program, is_at ? (int)args[0] : AT_FDCWD, work->path,
                          is_at ? (int)args[4] : 0, &kind)) {
        follow->before(work->path, kind);
        if (kind == STA__EXEC_FOLLOWED &&
            make_environment(work, (const char *const *)*envp, follow, is_at)) {
            make_followed(call, work, envp);
            unmap_work(work);
            return true;
        }
    }
    unmap_work(work);
    return false;
}

void sta__exec_arrived(struct sta *sta, int64_t sys_nr)
{
    struct sta__call call;

    for (int i = 0; i < 6; i++)
        call.enter.args[i] = 0;
    call.enter.id = sys_nr;
    call.ret = 0;
    call.outer = NULL;
    sta__exit(sta, &call,
              atomic_load_explicit(&sta__entry_kind, memory_order_relaxed) | STA__CALL_SKIPPED);
}

void sta__exec_given_back(void)
{
    if (lent)
        unmap_work(lent);
    lent = NULL;
}
