/* SPDX-License-Identifier: MIT */
/*
 * Lets suites of others drive this virtual machine, by the protocol of the public bpf_conformance
 * suite. Started once for each program:
 *
 *      bpf_conformance_plugin ["<memory>"] [--interpret | --jit] [--program "<program>"]
 *
 * Memory and program are bytes in hex, with or without blanks; the program is read from standard
 * input, one line or more, unless it is given. r1 points to the memory, r2 is its size. Prints r0
 * in hex. The status is 0 if the program ran; else standard error says why it did not.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sta/program.h>

#include "ebpf_data.h"

#define PROGRAM_MAX ((size_t)8 * EBPF_INSNS_MAX)

struct request {
    const char *memory, *program;
    unsigned flags;
    bool has_memory, is_native;
};

static void print_message(void *data, enum sta_log_level level, const char *message)
{
    (void)data, (void)level;
    fprintf(stderr, "%s\n", message);
}

static int usage(const char *name, const char *wrong)
{
    fprintf(stderr,
            "%s: %s\nusage: %s [\"<memory, hex>\"] [--interpret | --jit] [--program \"<hex>\"]\n",
            name, wrong, name);
    return 2;
}

/* 0, or the status to exit with. */
static int read_arguments(struct request *request, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--interpret") == 0)
            request->flags = STA_PROGRAM_INTERPRET;
        else if (strcmp(argv[i], "--jit") == 0)
            request->is_native = true;
        else if (strcmp(argv[i], "--program") == 0 && i + 1 < argc)
            request->program = argv[++i];
        else if (strncmp(argv[i], "--", 2) == 0)
            return usage(argv[0], "unknown option");
        else if (request->has_memory)
            return usage(argv[0], "more than one memory");
        else {
            request->memory = argv[i];
            request->has_memory = true;
        }
    }
    return 0;
}

/* Standard input; NULL: no memory. */
static char *read_input(void)
{
    size_t room = 3 * PROGRAM_MAX, length;
    char *text = malloc(room);

    if (!text)
        return NULL;
    length = fread(text, 1, room - 1, stdin);
    text[length] = '\0';
    return text;
}

static long read_program(const struct request *request, uint8_t *bytes)
{
    char *input = request->program ? NULL : read_input();
    const char *text = request->program ? request->program : input;
    long size = text ? ebpf_hex_bytes(text, bytes, PROGRAM_MAX) : -1;

    free(input);
    return size > 0 && size % 8 == 0 ? size / 8 : -1;
}

static int run(const struct request *request, const struct bpf_insn *insns, size_t count,
               uint8_t *memory, size_t size)
{
    struct sta_program_options options = {.size = sizeof(options),
                                          .flags = request->flags | STA_PROGRAM_TRUSTED,
                                          .log = print_message};
    struct sta_program_info info = {.size = sizeof(info)};
    struct sta_program *program;
    uint64_t result = 0;
    int err = sta_program_load(&program, insns, count, &options);

    if (err < 0)
        return 1;
    sta_program_info(program, &info);
    if (request->is_native && !info.native) {
        fprintf(stderr, "the program was not compiled\n");
        sta_program_free(program);
        return 1;
    }
    err = sta_program_run(program, size ? memory : NULL, size, &result);
    sta_program_free(program);
    if (err < 0)
        return 1;
    printf("%llx\n", (unsigned long long)result);
    return 0;
}

int main(int argc, char **argv)
{
    static _Alignas(16) uint8_t memory[EBPF_MEM_MAX], program[PROGRAM_MAX];
    struct request request = {.memory = ""};
    long memory_size, count;
    int status = read_arguments(&request, argc, argv);

    if (status)
        return status;
    memory_size = ebpf_hex_bytes(request.memory, memory, sizeof(memory));
    if (memory_size < 0)
        return usage(argv[0], "the memory is not bytes in hex, or too many");
    count = read_program(&request, program);
    if (count < 0)
        return usage(argv[0], "the program is not words of eight bytes in hex");
    return run(&request, (const struct bpf_insn *)program, (size_t)count, memory,
               (size_t)memory_size);
}
