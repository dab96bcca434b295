/* SPDX-License-Identifier: MIT */
/*
 * For a host that is a runtime of its own: an interpreter, an emulator, a sandboxed engine. All
 * system calls of its guest go through one function pointer already, so nothing has to be rewritten
 * and no transformer installed: the dispatcher goes into that slot.
 *
 *      guest script ──► toy_runtime.syscall ──► dispatcher ──► callbacks ──► what was in the slot
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <sta.h>

/* The runtime. The library does not occur in it. */

struct toy_runtime {
    sta_syscall_fn syscall; /* all system calls of the guest go through here */
};

static int64_t plain_syscall(int64_t sys_nr, int64_t a1, int64_t a2, int64_t a3, int64_t a4,
                             int64_t a5, int64_t a6)
{
    long result = syscall(sys_nr, a1, a2, a3, a4, a5, a6);

    return result == -1 ? -errno : result;
}

static int64_t toy_say(struct toy_runtime *runtime, const char *text)
{
    return runtime->syscall(SYS_write, STDOUT_FILENO, (int64_t)text, (int64_t)strlen(text), 0, 0,
                            0);
}

static int64_t toy_whoami(struct toy_runtime *runtime, const char *unused)
{
    (void)unused;
    return runtime->syscall(SYS_getuid, 0, 0, 0, 0, 0, 0);
}

static int64_t toy_remove(struct toy_runtime *runtime, const char *path)
{
    return runtime->syscall(SYS_unlink, (int64_t)path, 0, 0, 0, 0, 0);
}

static const struct toy_instruction {
    const char *name;
    int64_t (*run)(struct toy_runtime *runtime, const char *argument);
} instructions[] = {{"say", toy_say}, {"whoami", toy_whoami}, {"remove", toy_remove}};

static int64_t toy_run_one(struct toy_runtime *runtime, const char *line)
{
    for (size_t i = 0; i < sizeof(instructions) / sizeof(*instructions); i++) {
        size_t length = strlen(instructions[i].name);

        if (strncmp(line, instructions[i].name, length) == 0)
            return instructions[i].run(runtime, line[length] ? line + length + 1 : "");
    }
    return -EINVAL;
}

/* Prints each line of the script, what it says, and its result. */
static void toy_run(struct toy_runtime *runtime, const char *const *script)
{
    for (; *script; script++) {
        printf("   %-20s  ", *script);
        fflush(stdout);
        printf(" -> %ld\n", (long)toy_run_one(runtime, *script));
    }
}

/* The host, which traces its guest. */

#define NOTES_MAX 64
#define GUEST_UID 4711

struct notes {
    unsigned count;
    struct sta_sys_exit events[NOTES_MAX];
};

static int note_exit(void *ctx, size_t ctx_size, uint64_t *ret, void *user_data)
{
    struct notes *notes = user_data;

    (void)ctx_size, (void)ret;
    if (notes->count < NOTES_MAX)
        notes->events[notes->count++] = *(const struct sta_sys_exit *)ctx;
    return 0;
}

static int pretend(void *ctx, size_t ctx_size, uint64_t *ret, void *user_data)
{
    (void)ctx, (void)ctx_size, (void)ret, (void)user_data;
    return sta_override_return(GUEST_UID);
}

static int refuse(void *ctx, size_t ctx_size, uint64_t *ret, void *user_data)
{
    (void)ctx, (void)ctx_size, (void)ret, (void)user_data;
    return sta_override_return(-EPERM);
}

static int must(int result, const char *what)
{
    if (result >= 0)
        return result;
    fprintf(stderr, "hook_slot: %s: %s\n", what, strerror(-result));
    exit(EXIT_FAILURE);
}

static void claim(bool holds, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "hook_slot: it is not true that %s\n", what);
    exit(EXIT_FAILURE);
}

static int attach(struct sta *sta, const char *text, sta_callback callback, void *user_data)
{
    struct sta_target target;

    must(sta_target_parse(&target, text), text);
    return must(sta_attach(sta, &target, callback, user_data), text);
}

static void print_notes(struct notes *notes)
{
    printf("   seen:");
    for (unsigned i = 0; i < notes->count; i++)
        printf(" %s = %ld%s", sta_syscall_name((int)notes->events[i].id), notes->events[i].ret,
               i + 1 < notes->count ? "," : "");
    printf(notes->count ? "\n" : " nothing\n");
}

/* Runs the script; prints what was seen of it, and checks how much that was. */
static void trace(struct toy_runtime *runtime, struct notes *notes, unsigned expected)
{
    static const char *const script[] = {"say hello", "whoami", "remove /nonexistent", NULL};

    notes->count = 0;
    toy_run(runtime, script);
    print_notes(notes);
    claim(notes->count == expected, "each call is seen once while a callback is attached");
}

int main(void)
{
    struct toy_runtime runtime = {.syscall = plain_syscall};
    struct notes notes;
    struct sta *sta;
    int ids[3];

    must(sta_new(&sta, NULL), "sta_new");

    printf("The guest by itself\n");
    trace(&runtime, &notes, 0);

    sta_set_global(sta);
    must(sta_setup_syscall_hooker(&runtime.syscall), "sta_setup_syscall_hooker");
    ids[0] = attach(sta, "*SYS_EXIT", note_exit, &notes);
    printf("The dispatcher in the slot, a callback on every exit\n");
    trace(&runtime, &notes, 3);

    ids[1] = attach(sta, "sys_enter_getuid", pretend, NULL);
    ids[2] = attach(sta, "sys_enter_unlink", refuse, NULL);
    printf("getuid and unlink overridden: the real calls are not made\n");
    trace(&runtime, &notes, 3);

    claim(notes.events[1].ret == GUEST_UID && notes.events[2].ret == -EPERM,
          "exit callbacks see what was overridden");

    for (int i = 0; i < 3; i++)
        must(sta_detach(sta, ids[i]), "sta_detach");
    printf("All detached\n");
    trace(&runtime, &notes, 0);

    runtime.syscall = plain_syscall;
    sta_free(sta);
    return EXIT_SUCCESS;
}
