/* SPDX-License-Identifier: MIT */
/*
 * No network: an eBPF program lets socket() fail with EPERM for the internet, and for nothing else.
 * It is proved to be harmless before it runs; one that is not is refused, with the reason.
 */
#include <errno.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <sta.h>

#define INSN(op, dst, src, offset, immediate)                                                 \
    {                                                                                         \
        .code = (op), .dst_reg = (dst), .src_reg = (src), .off = (offset), .imm = (immediate) \
    }
#define FIRST_ARGUMENT 16   /* offsetof(struct sta_sys_enter, args[0]) */
#define NOWHERE        1024 /* far behind the last argument */

/* What a compiler would make of
 *
 *     if (ctx->args[0] == AF_INET || ctx->args[0] == AF_INET6)
 *         bpf_override_return(ctx, -EPERM);
 *     return 0;
 */
static const struct bpf_insn no_network[] = {
    INSN(BPF_LDX | BPF_MEM | BPF_DW, 2, 1, FIRST_ARGUMENT, 0), /* r2 = args[0] */
    INSN(BPF_JMP | BPF_JEQ | BPF_K, 2, 0, 1, AF_INET),         /* if r2 == AF_INET goto refuse */
    INSN(BPF_JMP | BPF_JNE | BPF_K, 2, 0, 2, AF_INET6),        /* if r2 != AF_INET6 goto out */
    INSN(BPF_ALU64 | BPF_MOV | BPF_K, 2, 0, 0, -EPERM),        /* refuse: r2 = -EPERM */
    INSN(BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_override_return),
    INSN(BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, 0), /* out: return 0 */
    INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0),
};

/* Reads what is not there. */
static const struct bpf_insn nosy[] = {
    INSN(BPF_LDX | BPF_MEM | BPF_DW, 0, 1, NOWHERE, 0),
    INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0),
};

static void print_message(void *log_data, enum sta_log_level level, const char *message)
{
    (void)log_data, (void)level;
    printf("%s\n", message);
}

static int load(struct sta_program **out, const char *name, const struct sta_target *target,
                const struct bpf_insn *insns, size_t count)
{
    const struct sta_program_options options = {
        .size = sizeof(options), .name = name, .target = target, .log = print_message};

    return sta_program_load(out, insns, count, &options);
}

static void try_socket(const char *name, int family)
{
    int fd = socket(family, SOCK_DGRAM, 0);

    printf("%s: %s\n", name, fd < 0 ? strerror(errno) : "a socket");
    if (fd >= 0)
        close(fd);
}

static void try_sockets(void)
{
    try_socket("AF_INET", AF_INET);
    try_socket("AF_INET6", AF_INET6);
    try_socket("AF_UNIX", AF_UNIX);
}

int main(void)
{
    struct sta_program *program = NULL;
    struct sta_target target;
    struct sta *sta;
    int id;

    if (sta_new(&sta, NULL) < 0 || sta_target_parse(&target, "sys_enter_socket") < 0)
        return EXIT_FAILURE;
    if (load(&program, "nosy", &target, nosy, sizeof(nosy) / sizeof(nosy[0])) >= 0)
        return EXIT_FAILURE;
    if (load(&program, "no_network", &target, no_network,
             sizeof(no_network) / sizeof(no_network[0])) < 0)
        return EXIT_FAILURE;
    id = sta_attach_program(sta, &target, program);
    if (id < 0 || sta_transform_install(sta, NULL) < 0)
        return EXIT_FAILURE;
    try_sockets();
    sta_detach(sta, id);
    sta_program_free(program);
    printf("detached\n");
    try_sockets();
    sta_free(sta);
    return EXIT_SUCCESS;
}
