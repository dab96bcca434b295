/* SPDX-License-Identifier: MIT */
/*
 * libsta-agent.so: libsta for a program that was not linked with it. LD_PRELOAD brings it in, its
 * constructor does what the environment says (config.h), and children are followed
 * (transform/exec.h).
 *
 * It is a guest: nothing goes to the program's standard output or error, no descriptor stays open,
 * and whatever fails, the program runs as if the agent were not there.
 */
#include <errno.h>
#include <link.h>
#include <linux/limits.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <unistd.h>

#include <sta.h>

#include "agent/config.h"
#include "agent/counts.h"
#include "agent/fail.h"
#include "agent/output.h"
#include "agent/report.h"
#include "base/gate.h"
#include "transform/exec.h"

/* What the library falls back to without MADV_WIPEONFORK. The agent does without, and with no need
 * for glibc's part of pthread_atfork it can be loaded by musl, too. */
int pthread_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void))
{
    (void)prepare, (void)parent, (void)child;
    return ENOTSUP;
}

/* Too large for the stack; of use while the constructor runs. */
static struct sta__agent_config config;

static void on_log(void *log_data, enum sta_log_level level, const char *message)
{
    (void)log_data;
    if (level == STA_LOG_ERROR)
        sta__agent_line(message, NULL, NULL);
}

/* The name of the executable file: what is in argv is up to the caller. */
static const char *program_name(char path[PATH_MAX])
{
    int64_t length = STA__RAW3(SYS_readlink, "/proc/self/exe", path, PATH_MAX - 1);
    const char *slash;

    if (length <= 0)
        return "?";
    path[length] = '\0';
    slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* --- Following --- */

static const char *settings[STA__EXEC_SETTING_MAX];
static char library[PATH_MAX];
static char output_setting[PATH_MAX + 64];

static void before_exec(const char *path, enum sta__exec_kind kind)
{
    static const char *const why_left[] = {
        [STA__EXEC_STATIC] = ": left alone, a static executable",
        [STA__EXEC_PRIVILEGED] = ": left alone, setuid, setgid or with capabilities",
        [STA__EXEC_FOREIGN] = ": left alone, not for x86-64",
    };

    if (kind != STA__EXEC_FOLLOWED)
        sta__agent_line("execve ", path, why_left[kind]);
    sta__agent_write("execve ", path);
}

#define EXECUTED STA__AGENT_PREFIX "EXECUTED="

static struct sta__exec_follow follow = {
    .preload = library,
    .settings = settings,
    .executed = {EXECUTED "execve", EXECUTED "execveat"},
    .before = before_exec,
};

static int if_is_us(struct dl_phdr_info *info, size_t size, void *data)
{
    const uintptr_t here = (uintptr_t)&follow;

    (void)size, (void)data;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *phdr = &info->dlpi_phdr[i];
        uintptr_t start = info->dlpi_addr + phdr->p_vaddr;

        if (phdr->p_type == PT_LOAD && here >= start && here < start + phdr->p_memsz) {
            snprintf(library, sizeof(library), "%s", info->dlpi_name);
            return 1;
        }
    }
    return 0;
}

/* The absolute path of this library. */
static bool find_library(void)
{
    char relative[PATH_MAX];
    int64_t length;

    if (!dl_iterate_phdr(if_is_us, NULL) || !library[0])
        return false;
    if (library[0] != '/') {
        memcpy(relative, library, sizeof(relative));
        length = STA__RAW2(SYS_getcwd, library, sizeof(library));
        if (length <= 0 || library[0] != '/' ||
            (size_t)length + strlen(relative) >= sizeof(library))
            return false;
        library[length - 1] = '/';
        strcpy(library + length, relative);
    }
    return !strpbrk(library, ": "); /* LD_PRELOAD takes them for separators */
}

/* A setting as children get it, from the program's own environment, too: the program may change its
 * directory, or close the descriptor and open another file under the same number. */
static const char *setting_for_children(const char *variable)
{
    const struct sta__agent_target *target = &config.output;

    if (strncmp(variable, STA__AGENT_PREFIX "OUTPUT=", sizeof(STA__AGENT_PREFIX "OUTPUT=") - 1) !=
        0)
        return variable;
    if (target->path[0])
        snprintf(output_setting, sizeof(output_setting), STA__AGENT_PREFIX "OUTPUT=%s",
                 target->path);
    else if (target->fd >= 0)
        snprintf(output_setting, sizeof(output_setting), STA__AGENT_PREFIX "OUTPUT=fd:%d:%llu:%llu",
                 target->fd, (unsigned long long)target->device, (unsigned long long)target->inode);
    else
        return variable;
    return output_setting;
}

/* A copy that stays, whatever the program does with its environment. */
static const char *keep(const char *string)
{
    static char *room, *room_end;
    size_t size = strlen(string) + 1;
    int64_t at;

    if ((size_t)(room_end - room) < size) {
        size_t mapped = size < 65536 ? 65536 : size;

        at = STA__RAW6(SYS_mmap, 0, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                       0);
        if (at < 0)
            return NULL;
        room = (char *)at;
        room_end = room + mapped;
    }
    memcpy(room, string, size);
    room += size;
    return room - size;
}

static int start_following(void)
{
    if (!find_library()) {
        sta__agent_line("where the agent lies is not known: other programs are not followed", NULL,
                        NULL);
        return 0;
    }
    for (char **at = environ; *at && follow.setting_count < STA__EXEC_SETTING_MAX; at++) {
        const char *setting;

        if (strncmp(*at, STA__AGENT_PREFIX, sizeof(STA__AGENT_PREFIX) - 1) != 0)
            continue;
        setting = setting_for_children(*at);
        if (setting == output_setting)
            *at = output_setting;
        else
            setting = keep(setting);
        if (!setting)
            return -ENOMEM;
        settings[follow.setting_count++] = setting;
    }
    /* Release: pairs with the load in sta__exec_call(). */
    atomic_store_explicit(&sta__exec_follow, &follow, memory_order_release);
    return 0;
}

/* The call that this program was executed by, if it was intercepted: else -ENOENT. The program does
 * not get to see the note. */
static int take_executed(void)
{
    int sys_nr = -ENOENT;
    char **to = environ;

    for (char **at = environ; *at; at++)
        if (strncmp(*at, EXECUTED, sizeof(EXECUTED) - 1) == 0)
            sys_nr = sta_syscall_number(*at + sizeof(EXECUTED) - 1);
        else
            *to++ = *at;
    *to = NULL;
    return sys_nr;
}

/* --- Starting --- */

#define GO_NOTE_TYPE 4 /* the build id: cmd/internal/buildid */

/* Whether the notes in `start`..`end` have one of the Go linker's. */
static bool has_go_note(const char *start, const char *end)
{
    while (start + sizeof(ElfW(Nhdr)) + 4 <= end) {
        const ElfW(Nhdr) *note = (const ElfW(Nhdr) *)start;
        const char *name = start + sizeof(*note);

        if (note->n_type == GO_NOTE_TYPE && note->n_namesz == 4 && memcmp(name, "Go", 3) == 0)
            return true;
        start = name + ((note->n_namesz + 3) & ~3u) + ((note->n_descsz + 3) & ~3u);
    }
    return false;
}

/* Only the program itself, which comes first, is looked at. */
static int is_go_program(struct dl_phdr_info *info, size_t size, void *data)
{
    (void)size;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *phdr = &info->dlpi_phdr[i];
        const char *start = (const char *)(info->dlpi_addr + phdr->p_vaddr);

        if (phdr->p_type == PT_NOTE && has_go_note(start, start + phdr->p_memsz))
            *(bool *)data = true;
    }
    return 1;
}

/* Go's routines run on stacks that begin at 2 KiB and have some 600 bytes to spare where system
 * calls are made. Our callbacks make do with that, a signal does not. */
static bool suits_program(void)
{
    bool is_go = false;

    dl_iterate_phdr(is_go_program, &is_go);
    if (!is_go)
        return true;
    if (config.method == STA_METHOD_SUD || (config.flags & STA_TRANSFORM_EXHAUSTIVE)) {
        sta__agent_line("a Go program's stacks are too small for Syscall User Dispatch",
                        ": not traced", NULL);
        return false;
    }
    config.method = STA_METHOD_REWRITE;
    return true;
}

static int start(struct sta *sta, int executed)
{
    const struct sta_transform_options options = {
        .size = sizeof(options),
        .method = config.method,
        .flags = config.flags,
    };
    int err = sta__agent_count(sta, &config);

    if (err == 0)
        err = sta__agent_fail(sta, &config);
    if (err == 0)
        err = start_following();
    if (err == 0)
        err = sta_transform_install(sta, &options);
    if (err == 0 && config.report)
        sta__agent_report_init(sta);
    if (err == 0 && executed >= 0)
        sta__exec_arrived(sta, executed);
    return err;
}

static void run(int executed)
{
    const struct sta_options options = {.size = sizeof(options), .log = on_log};
    struct sta *sta;
    int err;

    if (sta_new(&sta, &options) < 0) {
        sta__agent_line("no memory: not traced", NULL, NULL);
        return;
    }
    err = start(sta, executed);
    if (err < 0) {
        sta__agent_line("not traced: ", strerror(-err), NULL);
        sta_free(sta);
    }
}

__attribute__((constructor)) static void begin(void)
{
    char path[PATH_MAX];
    bool is_right;
    int executed;

    /* With more rights than its caller, the program must not do what the caller's environment says.
     */
    if (getauxval(AT_SECURE))
        return;
    executed = take_executed();
    is_right = sta__agent_configure(&config, environ);
    sta__agent_output_init(&config.output, program_name(path));
    if (!is_right)
        sta__agent_line(config.error, ": not traced", NULL);
    else if (suits_program())
        run(executed);
}
