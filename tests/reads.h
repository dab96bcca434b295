/* SPDX-License-Identifier: MIT */
/*
 * Reading by helpers inside an intercepted call: ask() makes a call that carries the request, and a
 * callback answers it.
 */
#ifndef TESTS_READS_H
#define TESTS_READS_H

#include "intercept.h"

#include "ebpf/helpers.h"

#define READ_MAX  600
#define NOT_ASKED 12345

typedef uint64_t (*read_helper)(uint64_t, uint64_t, uint64_t, uint64_t, uint64_t);

struct request {
    read_helper helper;
    uint64_t address, size;
    int64_t result;
    bool is_quick; /* no system call was made for it */
    uint8_t bytes[READ_MAX];
};

static int answer(void *ctx, size_t ctx_size, uint64_t *ret, void *user_data)
{
    struct request *request = (struct request *)((struct sta_sys_enter *)ctx)->args[0];

    (void)ctx_size, (void)ret, (void)user_data;
    if (!request)
        return 0;
    request->result =
        (int64_t)request->helper((uintptr_t)request->bytes, request->size, request->address, 0, 0);
    request->is_quick = atomic_load(&sta__faults_known) == atomic_load(&sta__faults_generation);
    return 0;
}

UNUSED static struct request ask(read_helper helper, uint64_t address, uint64_t size)
{
    struct request request = {
        .helper = helper, .address = address, .size = size, .result = NOT_ASKED};

    memset(request.bytes, 0xaa, sizeof(request.bytes));
    syscall(SYS_getppid, &request);
    return request;
}

/* The transformer and a callback that answers, with reads by instructions. */
UNUSED static struct sta *installed_answering(void)
{
    struct sta *sta = new_registry();

    attach(sta, SYS_getppid, true, answer, NULL);
    install(sta);
    sta__copy_want();
    return sta;
}

UNUSED static bool all_bytes_are(const uint8_t *bytes, size_t from, size_t to, uint8_t wanted)
{
    for (size_t i = from; i < to; i++) {
        if (bytes[i] != wanted)
            return false;
    }
    return true;
}

/* Two pages, the second of which is not there (or may not be read); the first ends in text. */
struct edge {
    char *page;
    char *end;
};

#define EDGE_PAGE 4096

UNUSED static struct edge make_edge(int protection)
{
    struct edge edge;

    edge.page =
        mmap(NULL, 2 * EDGE_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(edge.page != MAP_FAILED);
    edge.end = edge.page + EDGE_PAGE;
    for (int i = 0; i < EDGE_PAGE; i++)
        edge.page[i] = (char)('a' + i % 23);
    if (protection < 0)
        CHECK_EQ(munmap(edge.end, EDGE_PAGE), 0);
    else
        CHECK_EQ(mprotect(edge.end, EDGE_PAGE, protection), 0);
    return edge;
}

/* One good read and one bad one. */
UNUSED static void check_reads(void)
{
    static const char text[] = "sixteen letters";
    struct request good = ask(sta__helper_probe_read_user, (uintptr_t)text, sizeof(text));
    struct request bad = ask(sta__helper_probe_read_user, 0x10, 16);

    CHECK_EQ(good.result, 0);
    CHECK(memcmp(good.bytes, text, sizeof(text)) == 0);
    CHECK_EQ(bad.result, -EFAULT);
    CHECK(all_bytes_are(bad.bytes, 0, 16, 0));
}

/* Whether a fault would be handled on this thread as it is. */
UNUSED static bool is_quick(void)
{
    return ask(sta__helper_probe_read_user, (uintptr_t) "sixteen letters", 16).is_quick;
}

/* All signals, or all but one. */
UNUSED static void set_mask(int how, int except)
{
    sigset_t set;

    sigfillset(&set);
    if (except)
        sigdelset(&set, except);
    CHECK_EQ(pthread_sigmask(how, &set, NULL), 0);
}

#endif
