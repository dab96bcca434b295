/* SPDX-License-Identifier: MIT */
/*
 * What programs print: every line arrives once, whole and in order, whoever printed it, and reads
 * as in the kernel's trace_pipe.
 */
#include "core.h"

#include <fcntl.h>
#include <poll.h>
#include <time.h>

#include <sta/trace.h>

#include "ebpf/helpers.h"
#include "twice.h"

#define RING_SIZE 65536

static int64_t print(const char *format, uint64_t a, uint64_t b, uint64_t c)
{
    return (int64_t)sta__helper_trace_printk((uintptr_t)format, strlen(format) + 1, a, b, c);
}

struct lines {
    int count;
    struct sta_trace_line last;
    char text[1100];
};

static int note_line(void *data, const struct sta_trace_line *line)
{
    struct lines *lines = data;

    lines->count++;
    lines->last = *line;
    must_equal(strlen(line->text), line->length);
    snprintf(lines->text, sizeof(lines->text), "%s", line->text);
    return 0;
}

static int count_only(void *data, const struct sta_trace_line *line)
{
    (void)line;
    ++*(int *)data;
    return 0;
}

/* ---- the ring is made once ---- */

/* trace_printk(r10 - 8, 3): "hi" */
static const struct bpf_insn says_hi[] = {ST(BPF_W, R10, -8, 'h' | 'i' << 8),
                                          MOVX(R1, R10),
                                          ADD(R1, -8),
                                          MOV(R2, 3),
                                          MOV(R3, 0),
                                          MOV(R4, 0),
                                          MOV(R5, 0),
                                          CALL(trace_printk),
                                          EXIT};

static void the_first_program_that_prints_makes_the_ring(void **state)
{
    struct lines lines = {0};
    struct sta_program *program;
    uint64_t ctx[8] = {0}, ret;
    int count = 0;

    (void)state;
    assert_int_equal(sta_trace_fd(), -ENOENT);
    assert_int_equal(sta_trace_lost(), 0);
    assert_int_equal(sta_trace_read(count_only, &count), 0);
    assert_int_equal(sta_trace_poll(0, count_only, &count), -ENOENT);
    assert_int_equal(sta_trace_read(NULL, NULL), -EINVAL);
    assert_int_equal(print("nobody hears this", 0, 0, 0), 17);
    assert_int_equal(sta_trace_open(1000), -EINVAL);
    assert_int_equal(sta_trace_open(RING_SIZE), 0);
    assert_int_equal(sta_trace_open(RING_SIZE), -EALREADY);
    assert_int_equal(sta_program_load(&program, says_hi, COUNT(says_hi), NULL), 0);
    assert_int_equal(sta_program_run(program, ctx, sizeof(ctx), &ret), 0);
    assert_int_equal(ret, 2);
    sta_program_free(program);
    assert_int_equal(sta_trace_read(note_line, &lines), 1);
    assert_string_equal(lines.text, "hi");
    assert_int_equal(sta_trace_read(note_line, &lines), 0);
}

/* ---- lines ---- */

static void a_line_says_who_printed_what_and_when(void **state)
{
    struct timespec before, after;
    struct lines lines = {0};
    char comm[16], text[STA_TRACE_LINE_MAX], wanted[200];
    uint64_t low, high;

    (void)state;
    prctl(PR_GET_NAME, comm);
    prctl(PR_SET_NAME, "printer");
    clock_gettime(CLOCK_MONOTONIC, &before);
    assert_int_equal(print("%d and %s: %llx", (uint64_t)-5, (uintptr_t) "text", 0xabcdef0123), 23);
    clock_gettime(CLOCK_MONOTONIC, &after);
    prctl(PR_SET_NAME, comm);
    assert_int_equal(sta_trace_read(note_line, &lines), 1);
    assert_string_equal(lines.text, "-5 and text: abcdef0123");
    assert_string_equal(lines.last.comm, "printer");
    assert_int_equal(lines.last.tgid, getpid());
    assert_int_equal(lines.last.pid, syscall(SYS_gettid));
    low = (uint64_t)before.tv_sec * 1000000000 + (uint64_t)before.tv_nsec;
    high = (uint64_t)after.tv_sec * 1000000000 + (uint64_t)after.tv_nsec;
    assert_in_range(lines.last.time_ns, low, high);

    lines.last = (struct sta_trace_line){.time_ns = 83711204187999,
                                         .pid = 4711,
                                         .cpu = 2,
                                         .comm = "cat",
                                         .text = "hello",
                                         .length = 5};
    snprintf(wanted, sizeof(wanted),
             "             cat-4711    [002] ..... 83711.204187: bpf_trace_printk: hello\n");
    assert_int_equal(sta_trace_format(text, sizeof(text), &lines.last), strlen(wanted));
    assert_string_equal(text, wanted);
    assert_int_equal(sta_trace_format(text, 10, &lines.last), 9);
    assert_memory_equal(text, wanted, 9);
}

static void bad_formats_are_errors_and_print_nothing(void **state)
{
    static const char *const bad[] = {"%", "%d%d%d%d", "%hd", "%pI5", "%sx", "%n", "\x01", "%5.2d"};
    int count = 0;

    (void)state;
    for (size_t i = 0; i < COUNT(bad); i++)
        assert_int_equal(print(bad[i], 1, 2, 3), -EINVAL);
    assert_int_equal((int64_t)sta__helper_trace_printk((uintptr_t) "no end", 6, 0, 0, 0), -EINVAL);
    assert_int_equal((int64_t)sta__helper_trace_vprintk((uintptr_t) "", 1, (uintptr_t)bad, 7, 0),
                     -EINVAL);
    assert_int_equal((int64_t)sta__helper_trace_vprintk((uintptr_t) "", 1, (uintptr_t)bad, 104, 0),
                     -EINVAL);
    assert_int_equal((int64_t)sta__helper_trace_vprintk((uintptr_t) "", 1, 0, 8, 0), -EINVAL);
    assert_int_equal(sta_trace_read(count_only, &count), 0);
}

static void long_lines_are_cut_off(void **state)
{
    struct lines lines = {0};

    (void)state;
    assert_int_equal(print("%5000d", 1, 0, 0), 5000);
    assert_int_equal(sta_trace_read(note_line, &lines), 1);
    assert_int_equal(lines.last.length, 1023);
    assert_int_equal(strspn(lines.text, " "), 1023);
    /* An address where nothing is makes an empty string. */
    assert_int_equal(print("<%s>", 8, 0, 0), 2);
    assert_int_equal(sta_trace_read(note_line, &lines), 1);
    assert_string_equal(lines.text, "<>");
}

/* ---- the ring ---- */

static void what_there_is_no_room_for_is_counted(void **state)
{
    uint64_t lost = sta_trace_lost();
    int printed = 4000, count = 0, got;

    (void)state;
    for (int i = 0; i < printed; i++)
        assert_int_equal(print("line %4d", (uint64_t)i, 0, 0), 9);
    got = sta_trace_read(count_only, &count);
    assert_int_equal(got, count);
    lost = sta_trace_lost() - lost;
    assert_true(count > 100 && lost > 0);
    assert_int_equal(count + (int)lost, printed);
}

static bool is_readable(void)
{
    struct pollfd fd = {.fd = sta_trace_fd(), .events = POLLIN};

    return poll(&fd, 1, 0) == 1 && (fd.revents & POLLIN);
}

static void *print_later(void *unused)
{
    (void)unused;
    usleep(20000);
    print("later", 0, 0, 0);
    return NULL;
}

static void readers_are_woken(void **state)
{
    struct lines lines = {0};
    pthread_t thread;

    (void)state;
    sta_trace_read(note_line, &lines);
    assert_false(is_readable());
    print("now", 0, 0, 0);
    assert_true(is_readable());
    assert_int_equal(sta_trace_read(note_line, &lines), 1);
    assert_false(is_readable());
    assert_int_equal(sta_trace_poll(1, note_line, &lines), 0);
    assert_int_equal(pthread_create(&thread, NULL, print_later, NULL), 0);
    assert_int_equal(sta_trace_poll(5000, note_line, &lines), 1);
    assert_string_equal(lines.text, "later");
    assert_int_equal(pthread_join(thread, NULL), 0);
    sta_trace_read(note_line, &lines);
}

static void a_forked_child_prints_to_the_same_ring(void **state)
{
    struct lines lines = {0};
    pid_t child = fork();
    int status;

    (void)state;
    if (child == 0) {
        print("from the child", 0, 0, 0);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(sta_trace_read(note_line, &lines), 1);
    assert_string_equal(lines.text, "from the child");
    assert_int_equal(lines.last.tgid, child);
}

/* Threads print numbers, and signal handlers in the middle of it. */

enum { THREADS = 4, LINES = 3000 };
static _Atomic int running, in_handlers;
static _Atomic bool is_over;

static void print_in_handler(int signal)
{
    (void)signal;
    print("handler", 0, 0, 0);
    in_handlers++;
}

static void *print_numbers(void *thread)
{
    for (uint64_t i = 0; i < LINES; i++) {
        print("thread %lu: %lu", (uintptr_t)thread, i, 0);
        if (i % 64 == 0)
            usleep(50);
    }
    running--;
    return NULL;
}

static void *send_signals(void *thread)
{
    while (!is_over) {
        pthread_kill(*(pthread_t *)thread, SIGUSR1);
        usleep(200);
    }
    return NULL;
}

struct seen {
    uint64_t next[THREADS];
    long lines, handlers;
};

static int see_line(void *data, const struct sta_trace_line *line)
{
    struct seen *seen = data;
    uint64_t thread, number;
    char end;

    if (strcmp(line->text, "handler") == 0) {
        seen->handlers++;
        return 0;
    }
    must(sscanf(line->text, "thread %lu: %lu%c", &thread, &number, &end) == 2);
    must(thread < THREADS && number >= seen->next[thread]); /* some may be lost */
    seen->next[thread] = number + 1;
    seen->lines++;
    return 0;
}

static void lines_of_threads_and_handlers_are_whole(void **state)
{
    struct sigaction action = {.sa_handler = print_in_handler}, before;
    uint64_t lost = sta_trace_lost();
    pthread_t threads[THREADS], sender;
    struct seen seen = {0};

    (void)state;
    sigaction(SIGUSR1, &action, &before);
    running = THREADS;
    for (uintptr_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, print_numbers, (void *)i), 0);
    assert_int_equal(pthread_create(&sender, NULL, send_signals, &threads[0]), 0);
    while (running)
        must(sta_trace_poll(10, see_line, &seen) >= 0);
    is_over = true;
    pthread_join(sender, NULL);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    sta_trace_read(see_line, &seen);
    sigaction(SIGUSR1, &before, NULL);
    assert_int_equal(seen.lines + seen.handlers + (long)(sta_trace_lost() - lost),
                     THREADS * LINES + in_handlers);
    assert_true(seen.lines > LINES);
}

/* ---- formats that somebody changes ---- */

enum { CHANGING = 64 };
static char *changing; /* the last bytes before what cannot be read */
static _Atomic bool is_changed_enough;

static void *change_format(void *unused)
{
    uint32_t random = 1;

    (void)unused;
    while (!is_changed_enough) {
        random = random * 1664525 + 1013904223;
        ((volatile char *)changing)[random >> 26] = "%dsx  c%lu  ab0p"[random >> 8 & 15];
        if (random >> 16 & 1)
            ((volatile char *)changing)[random >> 18 & 63] = 0;
    }
    return NULL;
}

static void formats_may_change_meanwhile(void **state)
{
    long page = sysconf(_SC_PAGESIZE), printed = 0;
    char *pages =
        mmap(NULL, 4 * (size_t)page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char *constant = pages + 3 * page - sizeof("d%"); /* likewise */
    uint64_t args[12];
    pthread_t thread;
    int ignored = 0;

    (void)state;
    if (UNDER_TSAN)
        skip(); /* it is a race, and meant to be one */
    assert_int_equal(mprotect(pages + page, (size_t)page, PROT_NONE), 0);
    assert_int_equal(mprotect(pages + 3 * page, (size_t)page, PROT_NONE), 0);
    memcpy(constant, "d%", sizeof("d%"));
    changing = pages + page - CHANGING;
    memset(args, 0x41, sizeof(args));
    assert_int_equal(pthread_create(&thread, NULL, change_format, NULL), 0);
    for (int i = 0; i < 200000 || printed < 100; i++) {
        int64_t length = (int64_t)sta__helper_trace_vprintk((uintptr_t)changing, CHANGING,
                                                            (uintptr_t)args, sizeof(args), 0);

        printed += length > 0;
        if (i % 64 == 0)
            sta_trace_read(count_only, &ignored);
        sta__helper_strncmp((uintptr_t)changing, CHANGING, (uintptr_t)constant, 0, 0);
    }
    is_changed_enough = true;
    pthread_join(thread, NULL);
    munmap(pages, 4 * (size_t)page);
    sta_trace_read(count_only, &ignored);
}

/* ---- the kernel's trace_pipe ---- */

static void drain(int pipe)
{
    char bytes[4096];

    while (read(pipe, bytes, sizeof(bytes)) > 0)
        ;
}

/* What the kernel's program printed, of all that is there. */
static bool read_kernels(int pipe, char *out, size_t size)
{
    char wanted[32], bytes[8192];
    ssize_t length = 0, got;
    const char *at;

    while (length < (ssize_t)sizeof(bytes) - 1 &&
           (got = read(pipe, bytes + length, sizeof(bytes) - 1 - (size_t)length)) > 0)
        length += got;
    bytes[length] = 0;
    snprintf(wanted, sizeof(wanted), "-%d ", getpid());
    at = strstr(bytes, wanted);
    at = at ? strstr(at, "bpf_trace_printk: ") : NULL;
    if (!at)
        return false;
    snprintf(out, size, "%s", at + strlen("bpf_trace_printk: "));
    return true;
}

#define PRINTS(at)                                                                           \
    {                                                                                        \
        LD_VALUE(R1, RODATA, 0), MOV(R2, RODATA_SIZE), MOV(R3, -7), LD64(R4, 0x123456789ab), \
            MOV(R5, 'x'), CALL(trace_printk), STORE_R0_AND_EXIT(at)                          \
    }

static const struct bpf_insn prints[] = PRINTS(0);

static void lines_are_those_of_the_trace_pipe(void **state)
{
    static const char *const formats[] = {
        "plain",         "%d %lld %c",  "%u %llu %d",  "%x %llx %X", "%5d|%-20lld|%c",
        "%08x %+d %c\n", "newline\n",   "%%d %d",      "",           "%ld %lu %lx",
        "%i%i",          "%10000d",     "%d %ld\n\n",  "%6c%-6c%c",  "% d % u %05d",
        "%d %s",         "%d %llx %c%", "%d %d %d %d", "%px",        "%ps %pS"};
    int pipe = open("/sys/kernel/tracing/trace_pipe", O_RDONLY | O_NONBLOCK);
    long compared = 0;

    (void)state;
    if (pipe < 0)
        skip();
    for (size_t i = 0; i < COUNT(formats); i++) {
        char rodata[RODATA_SIZE] = {0}, kernels[2048], ours[2048];
        struct lines lines = {0};
        struct twice t;

        snprintf(rodata, sizeof(rodata), "%s", formats[i]);
        twice_load(&t, prints, COUNT(prints), rodata, 0);
        assert_string_equal(t.log, "");
        drain(pipe);
        twice_run(&t);
        sta_trace_read(note_line, &lines);
        if (twice_has_kernel(&t)) {
            assert_int_equal(*(uint64_t *)t.ours, *(uint64_t *)t.kernels);
            snprintf(ours, sizeof(ours), "%s\n", lines.text);
            if (lines.count && read_kernels(pipe, kernels, sizeof(kernels))) {
                kernels[strlen(ours)] = 0; /* what others have printed since */
                assert_string_equal(ours, kernels);
                compared++;
            }
        }
        twice_free(&t);
    }
    close(pipe);
    print_message("%ld lines compared\n", compared);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_program_that_prints_makes_the_ring),
        cmocka_unit_test(a_line_says_who_printed_what_and_when),
        cmocka_unit_test(bad_formats_are_errors_and_print_nothing),
        cmocka_unit_test(long_lines_are_cut_off),
        cmocka_unit_test(what_there_is_no_room_for_is_counted),
        cmocka_unit_test(readers_are_woken),
        cmocka_unit_test(a_forked_child_prints_to_the_same_ring),
        cmocka_unit_test(lines_of_threads_and_handlers_are_whole),
        cmocka_unit_test(formats_may_change_meanwhile),
        cmocka_unit_test(lines_are_those_of_the_trace_pipe),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
