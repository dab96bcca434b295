/* SPDX-License-Identifier: MIT */
/*
 * Programs with what they must do, from text files: those of the public conformance suites, with a
 * little more. A line `-- section` begins a section, `#` a comment:
 *
 *      -- name          what must hold; begins a case, so that a file can have many of them
 *      -- asm           the program, see ebpf_asm.h
 *      -- raw           the same as words of 64 bits, a line each; with or without asm before
 *      -- mem           bytes in hex: r1 points to them, r2 is how many there are
 *      -- result        r0 at the end, a number
 *      -- mem-after     what the bytes are then
 *      -- error         in place of result: a piece of the message that refuses the program
 *
 * Sections of other names are passed over.
 */
#ifndef STA_TESTS_EBPF_DATA_H
#define STA_TESTS_EBPF_DATA_H

#include <linux/bpf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define EBPF_INSNS_MAX 70000
#define EBPF_MEM_MAX   1024

struct ebpf_case {
    const char *path;
    unsigned line; /* where it begins */
    char name[128];
    struct bpf_insn *insns;
    size_t count;
    uint8_t mem[EBPF_MEM_MAX], mem_after[EBPF_MEM_MAX];
    size_t mem_size;
    bool has_result, has_mem_after;
    uint64_t result;
    char error[128]; /* "": it is to be loaded and run */
};

/* Calls `visit` for each case of a file, or of every file *.data in a directory. Returns how many
 * there were; -1: something could not be read, and stderr has what and where. */
int ebpf_data_visit(const char *path, void (*visit)(const struct ebpf_case *test, void *data),
                    void *data);

/* Bytes from hex digits, with blanks between or not; -1: no hex digits, or too many. */
long ebpf_hex_bytes(const char *text, uint8_t *bytes, size_t room);

#endif
