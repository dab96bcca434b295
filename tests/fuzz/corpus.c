/* SPDX-License-Identifier: MIT */
/* Writes the programs of a data directory into files of bytes: seeds for the fuzzers.
 *
 *      corpus <data directory> <output directory> */
#include <stdio.h>

#include "ebpf_data.h"

struct output {
    const char *directory;
    int written;
};

static void write_program(const struct ebpf_case *test, void *data)
{
    struct output *output = data;
    char path[512];
    FILE *file;

    snprintf(path, sizeof(path), "%s/%04d", output->directory, output->written);
    file = fopen(path, "w");
    if (file && fwrite(test->insns, sizeof(*test->insns), test->count, file) == test->count)
        output->written++;
    if (file)
        fclose(file);
}

int main(int argc, char **argv)
{
    struct output output = {0};
    int count;

    if (argc != 3)
        return 2;
    output.directory = argv[2];
    count = ebpf_data_visit(argv[1], write_program, &output);
    return count > 0 && output.written == count ? 0 : 1;
}
