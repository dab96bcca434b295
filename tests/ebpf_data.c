/* SPDX-License-Identifier: MIT */
#include "ebpf_data.h"

#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "ebpf_asm.h"

#define SECTION_MAX 65536

struct reader {
    struct ebpf_case test;
    bool has_program;
    char section[64];
    char text[SECTION_MAX]; /* of the section, so far */
    size_t length;
    unsigned section_line, line;
    int count;
    void (*visit)(const struct ebpf_case *test, void *data);
    void *data;
};

static bool fail(const struct reader *reader, const char *reason)
{
    fprintf(stderr, "%s:%u: %s: %s\n", reader->test.path, reader->section_line, reader->section,
            reason);
    return false;
}

long ebpf_hex_bytes(const char *text, uint8_t *bytes, size_t room)
{
    size_t count = 0;
    char digits[3] = "";

    for (; *text; text++) {
        if (isspace((unsigned char)*text))
            continue;
        if (!isxdigit((unsigned char)text[0]) || !isxdigit((unsigned char)text[1]) || count == room)
            return -1;
        memcpy(digits, text++, 2);
        bytes[count++] = (uint8_t)strtoul(digits, NULL, 16);
    }
    return (long)count;
}

static bool read_asm(struct reader *reader)
{
    char error[128];

    reader->test.count =
        ebpf_assemble(reader->text, reader->test.insns, EBPF_INSNS_MAX, error, sizeof(error));
    return reader->test.count > 0 || fail(reader, error);
}

static bool read_raw(struct reader *reader)
{
    char *at = reader->text, *end;
    size_t count = 0, assembled = reader->test.count;

    for (; count < EBPF_INSNS_MAX; count++) {
        uint64_t word = strtoull(at, &end, 0);

        if (end == at)
            break;
        if (assembled && memcmp(&reader->test.insns[count], &word, sizeof(word)) != 0)
            return fail(reader, "not what was assembled");
        memcpy(&reader->test.insns[count], &word, sizeof(word));
        at = end;
    }
    at += strspn(at, " \n");
    reader->test.count = count;
    return (*at == '\0' && count > 0 && (!assembled || assembled == count)) ||
           fail(reader, "not as many words as there have to be");
}

static bool read_mem(struct reader *reader, bool after)
{
    uint8_t *bytes = after ? reader->test.mem_after : reader->test.mem;
    long size = ebpf_hex_bytes(reader->text, bytes, EBPF_MEM_MAX);

    if (size < 0 || (after && (size_t)size != reader->test.mem_size))
        return fail(reader, "not bytes in hex, or not as many as there are");
    reader->test.mem_size = (size_t)size;
    reader->test.has_mem_after |= after;
    return true;
}

static bool read_result(struct reader *reader)
{
    char *end;

    reader->test.result = strtoull(reader->text, &end, 0);
    reader->test.has_result = true;
    return (end != reader->text && end[strspn(end, " \n")] == '\0') || fail(reader, "no number");
}

static void trim(char *to, size_t room, const char *from)
{
    size_t length;

    from += strspn(from, " \n");
    length = strlen(from);
    while (length > 0 && isspace((unsigned char)from[length - 1]))
        length--;
    snprintf(to, room, "%.*s", (int)length, from);
}

static bool end_case(struct reader *reader)
{
    if (!reader->has_program)
        return true;
    if (reader->test.has_result == (reader->test.error[0] != '\0'))
        return fail(reader, "the case has to have a result or an error");
    reader->visit(&reader->test, reader->data);
    reader->count++;
    reader->has_program = false;
    reader->test.name[0] = '\0';
    reader->test.count = 0;
    reader->test.mem_size = 0;
    reader->test.has_result = reader->test.has_mem_after = false;
    reader->test.error[0] = '\0';
    return true;
}

static bool end_section(struct reader *reader)
{
    const char *section = reader->section;

    if (strcmp(section, "asm") == 0)
        return read_asm(reader);
    if (strcmp(section, "raw") == 0)
        return read_raw(reader);
    if (strcmp(section, "mem") == 0 || strcmp(section, "mem-after") == 0)
        return read_mem(reader, section[3] != '\0');
    if (strcmp(section, "result") == 0)
        return read_result(reader);
    if (strcmp(section, "error") == 0)
        trim(reader->test.error, sizeof(reader->test.error), reader->text);
    return true;
}

static bool has_end(const struct reader *reader)
{
    return reader->test.has_result || reader->test.error[0];
}

static bool begin_section(struct reader *reader, const char *header)
{
    char section[sizeof(reader->section)];
    bool is_name = strncmp(header, "name ", 5) == 0;
    bool is_program;

    if (!end_section(reader))
        return false;
    trim(section, sizeof(section), header);
    is_program = strcmp(section, "asm") == 0 || strcmp(section, "raw") == 0;
    if ((is_name || (is_program && has_end(reader))) && !end_case(reader))
        return false;
    if (is_name || (is_program && reader->test.name[0] == '\0'))
        reader->test.line = reader->line;
    if (is_name)
        trim(reader->test.name, sizeof(reader->test.name), header + 5);
    reader->has_program |= is_program;
    strcpy(reader->section, is_name ? "name" : section);
    reader->section_line = reader->line;
    reader->length = 0;
    reader->text[0] = '\0';
    return true;
}

static bool add_line(struct reader *reader, const char *line)
{
    size_t length = strcspn(line, "#\n");

    /* A message may have a '#'. */
    if (strcmp(reader->section, "error") == 0)
        length = strcspn(line, "\n");
    if (reader->length + length + 2 > sizeof(reader->text))
        return fail(reader, "too long");
    memcpy(reader->text + reader->length, line, length);
    reader->length += length;
    reader->text[reader->length++] = '\n';
    reader->text[reader->length] = '\0';
    return true;
}

static int read_file(struct reader *reader, FILE *file)
{
    char line[512];
    bool good = true;

    while (good && fgets(line, sizeof(line), file)) {
        reader->line++;
        if (strncmp(line, "-- ", 3) == 0)
            good = begin_section(reader, line + 3);
        else
            good = add_line(reader, line);
    }
    return good && end_section(reader) && end_case(reader) ? reader->count : -1;
}

static int visit_file(const char *path, void (*visit)(const struct ebpf_case *, void *), void *data)
{
    struct reader *reader = calloc(1, sizeof(*reader));
    FILE *file = fopen(path, "r");
    int count = -1;

    if (reader)
        reader->test.insns = calloc(EBPF_INSNS_MAX, sizeof(*reader->test.insns));
    if (!file || !reader || !reader->test.insns) {
        perror(path);
    } else {
        reader->test.path = path;
        reader->visit = visit;
        reader->data = data;
        count = read_file(reader, file);
    }
    if (file)
        fclose(file);
    if (reader)
        free(reader->test.insns);
    free(reader);
    return count;
}

static int is_data(const struct dirent *entry)
{
    size_t length = strlen(entry->d_name);

    return length > 5 && strcmp(entry->d_name + length - 5, ".data") == 0;
}

static int visit_directory(const char *path, void (*visit)(const struct ebpf_case *, void *),
                           void *data)
{
    struct dirent **entries;
    int count = scandir(path, &entries, is_data, alphasort);
    int total = count < 0 ? -1 : 0;

    for (int i = 0; i < count; i++) {
        char file[512];
        int cases;

        snprintf(file, sizeof(file), "%s/%s", path, entries[i]->d_name);
        cases = visit_file(file, visit, data);
        total = cases < 0 || total < 0 ? -1 : total + cases;
        free(entries[i]);
    }
    if (count >= 0)
        free(entries);
    return total;
}

int ebpf_data_visit(const char *path, void (*visit)(const struct ebpf_case *, void *), void *data)
{
    struct stat status;

    if (stat(path, &status) < 0) {
        perror(path);
        return -1;
    }
    return S_ISDIR(status.st_mode) ? visit_directory(path, visit, data)
                                   : visit_file(path, visit, data);
}
