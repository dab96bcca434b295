/* SPDX-License-Identifier: MIT */
/*
 * Compares the decoder with objdump, instruction by instruction:
 *
 *     objdump -d -w -z FILE | decode_elf FILE [MAX_INSTRUCTIONS]
 *
 * FILE is an ELF file or, for `objdump -D -b binary`, anything else. Prints the differences and a
 * line of totals; exits with 1 if there are differences, with 3 if FILE is not an executable or a
 * shared object for x86-64. With MAX_INSTRUCTIONS it stops there.
 *
 *     decode_elf --random SEED ITEMS
 *
 * writes bytes that look like instructions, for a FILE without any sense.
 *
 * objdump's listing is not always one line an instruction:
 *
 *   - "(bad)", ".byte", and the bytes of data objects are no instruction to it. Nothing is
 *     compared; as it does, we go on with the next line.
 *   - Lines of nothing but prefixes, such as "rex.W" before "data16 call": to processors these are
 *     part of the next instruction, but objdump forgets them. They are passed over.
 *   - fwait (9b) before an x87 instruction is listed as one with it: "fstcw" is fwait and fnstcw.
 *     The lengths of the two are added.
 *   - APX, known to newer objdumps and refused by the decoder, is passed over.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "transform/decode.h"

#define DIFFERENCES_SHOWN 20

enum { EXIT_DIFFERENT = 1, EXIT_ERROR = 2, EXIT_OTHER_FILE = 3 };

#define FWAIT 0x9b

/* A range of the file and where it is in memory. */
struct section {
    uint64_t address;
    uint64_t size;
    const uint8_t *bytes;
};

struct image {
    const char *path;
    const uint8_t *bytes;
    size_t size;
    struct section *sections; /* those with code */
    size_t section_count;
};

/* A line of the listing. */
struct line {
    uint64_t address;
    bool is_bad;
};

struct comparison {
    const struct image *image;
    const struct section *section;
    struct line line; /* the one whose end is not known yet */
    bool has_line;
    uint64_t compared, differences;
    uint64_t bad, prefixes, apx; /* passed over */
};

static void die(const char *what, const char *detail)
{
    fprintf(stderr, "decode_elf: %s: %s\n", what, detail);
    exit(EXIT_ERROR);
}

/* The file */

static void find_sections(struct image *image)
{
    const Elf64_Ehdr *header = (const void *)image->bytes;
    const Elf64_Shdr *sections;
    bool is_elf = image->size >= sizeof(*header) && memcmp(header->e_ident, ELFMAG, SELFMAG) == 0;
    size_t count = is_elf ? header->e_shnum : 1;

    image->sections = calloc(count ? count : 1, sizeof(*image->sections));
    if (!image->sections)
        die(image->path, "no memory");
    if (!is_elf) {
        image->sections[image->section_count++] = (struct section){0, image->size, image->bytes};
        return;
    }
    if (header->e_ident[EI_CLASS] != ELFCLASS64 || header->e_machine != EM_X86_64 ||
        (header->e_type != ET_EXEC && header->e_type != ET_DYN))
        exit(EXIT_OTHER_FILE);
    if (header->e_shoff > image->size || count * sizeof(*sections) > image->size - header->e_shoff)
        die(image->path, "cut short");
    sections = (const void *)(image->bytes + header->e_shoff);
    for (size_t i = 0; i < count; i++) {
        const Elf64_Shdr *section = &sections[i];

        if (!(section->sh_flags & SHF_EXECINSTR) || section->sh_type == SHT_NOBITS)
            continue;
        if (section->sh_offset > image->size || section->sh_size > image->size - section->sh_offset)
            die(image->path, "cut short");
        image->sections[image->section_count++] =
            (struct section){section->sh_addr, section->sh_size, image->bytes + section->sh_offset};
    }
}

static void open_image(struct image *image, const char *path)
{
    struct stat status;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    *image = (struct image){.path = path};
    if (fd < 0 || fstat(fd, &status) < 0)
        die(path, strerror(errno));
    image->size = (size_t)status.st_size;
    image->bytes = mmap(NULL, image->size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (image->bytes == MAP_FAILED)
        die(path, strerror(errno));
    close(fd);
    find_sections(image);
}

static void close_image(struct image *image)
{
    free(image->sections);
    munmap((void *)image->bytes, image->size);
}

static const struct section *section_at(const struct image *image, uint64_t address)
{
    for (size_t i = 0; i < image->section_count; i++) {
        const struct section *section = &image->sections[i];

        if (address >= section->address && address - section->address < section->size)
            return section;
    }
    return NULL;
}

/* The comparison */

static bool is_prefix(uint8_t byte)
{
    return (byte >= 0x40 && byte <= 0x4f) ||
           (byte && strchr("\x26\x2e\x36\x3e\x64\x65\x66\x67\xf0\xf2\xf3", byte));
}

/* `size` bytes of prefixes, to objdump: fwait before others is one of them. */
static bool only_prefixes(const uint8_t *bytes, uint64_t size)
{
    if (!is_prefix(bytes[size - 1]))
        return false;
    while (size > 0 && (is_prefix(bytes[size - 1]) || bytes[size - 1] == FWAIT))
        size--;
    return size == 0;
}

/* What decode.h says is left out: REX2 and EVEX of maps 4 and 7 or with the bits that APX defined.
 */
static bool is_apx(const uint8_t *bytes, uint64_t size)
{
    while (size > 0 && is_prefix(*bytes)) {
        bytes++;
        size--;
    }
    if (size > 0 && bytes[0] == 0xd5)
        return true;
    return size > 2 && bytes[0] == 0x62 &&
           ((bytes[1] & 0x08) || (bytes[1] & 7) == 4 || (bytes[1] & 7) == 7 || !(bytes[2] & 0x04));
}

static void show_difference(struct comparison *comparison, uint64_t address, uint64_t length,
                            int ours)
{
    const struct section *section = comparison->section;
    const uint8_t *bytes = section->bytes + (address - section->address);
    uint64_t left = section->size - (address - section->address);

    if (++comparison->differences > DIFFERENCES_SHOWN)
        return;
    printf("differs: %s: %#" PRIx64 ": objdump %" PRIu64 ", we %d:", comparison->image->path,
           address, length, ours);
    for (uint64_t i = 0; i < left && i < STA__INSTRUCTION_MAX; i++)
        printf(" %02x", bytes[i]);
    putchar('\n');
}

/* Our length of what objdump says has `length` bytes; or -errno. */
static int our_length(const uint8_t *bytes, uint64_t length, uint64_t left)
{
    struct sta__instruction instruction;
    uint64_t total = 0;
    int result;

    do {
        result = sta__decode(&instruction, bytes + total, left - total);
        if (result < 0)
            return result;
        total += (uint64_t)result;
    } while (total < length && instruction.map == 0 && instruction.opcode == FWAIT);
    return (int)total;
}

/* The line that begins at comparison->line.address ends at `end`. */
static void compare_line(struct comparison *comparison, uint64_t end)
{
    const struct section *section = comparison->section;
    uint64_t start = comparison->line.address;
    const uint8_t *bytes = section->bytes + (start - section->address);
    uint64_t left = section->address + section->size - start;
    int ours;

    comparison->has_line = false;
    if (end <= start || end - start > left)
        die(comparison->image->path, "this is no listing of it");
    if (comparison->line.is_bad) {
        our_length(bytes, end - start, left); /* any result will do */
        comparison->bad++;
        return;
    }
    if (only_prefixes(bytes, end - start)) {
        comparison->prefixes++;
        return;
    }
    ours = our_length(bytes, end - start, left);
    comparison->compared++;
    if (ours == -EILSEQ && is_apx(bytes, end - start))
        comparison->apx++;
    else if (ours < 0 || (uint64_t)ours != end - start)
        show_difference(comparison, start, end - start, ours);
}

static void end_section(struct comparison *comparison)
{
    if (comparison->has_line)
        compare_line(comparison, comparison->section->address + comparison->section->size);
}

/* "  401000:\t55                   \tpush   %rbp"; objects in the text have only the first tab. */
static bool parse_line(struct line *line, const char *text)
{
    char *end;

    line->address = strtoull(text, &end, 16);
    if (end == text || end[0] != ':' || end[1] != '\t')
        return false;
    line->is_bad = !strchr(end + 2, '\t') || strstr(end, "(bad)") || strstr(end, ".byte");
    return true;
}

static void take_line(struct comparison *comparison, const struct line *line)
{
    const struct section *section = section_at(comparison->image, line->address);

    if (!section)
        die(comparison->image->path, "the listing is of code that it has not");
    if (comparison->section != section) {
        end_section(comparison);
        comparison->section = section;
    } else if (comparison->has_line) {
        compare_line(comparison, line->address);
    }
    comparison->line = *line;
    comparison->has_line = true;
}

static void compare(struct comparison *comparison, FILE *listing, uint64_t max_compared)
{
    char *text = NULL;
    size_t room = 0;
    struct line line;

    while (comparison->compared < max_compared && getline(&text, &room, listing) >= 0)
        if (parse_line(&line, text))
            take_line(comparison, &line);
    if (comparison->compared < max_compared)
        end_section(comparison);
    free(text);
}

/* Random bytes */

static uint64_t next_random(uint64_t *state) /* splitmix64 */
{
    uint64_t z = *state += 0x9e3779b97f4a7c15;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

static void put_random(uint64_t *state, unsigned count)
{
    while (count-- > 0)
        putchar((int)(next_random(state) >> 56));
}

/* Every opcode map as often as any other, with some prefixes, and random bytes as operands. */
static void put_item(uint64_t *state)
{
    static const char prefixes[] = "\x66\x67\xf2\xf3\x66\xf2\xf3\x2e\x64\xf0";
    unsigned shape = (unsigned)next_random(state) % 12;

    while (next_random(state) % 3 == 0)
        putchar(prefixes[next_random(state) % (sizeof(prefixes) - 1)]);
    if (next_random(state) % 3 == 0)
        putchar(0x40 | (int)(next_random(state) & 15));
    switch (shape) {
    case 0 ... 3: /* one byte */
        break;
    case 4 ... 5:
        putchar(0x0f);
        break;
    case 6:
        fputs("\x0f\x38", stdout);
        break;
    case 7:
        fputs("\x0f\x3a", stdout);
        break;
    case 8:
        putchar(0xc5);
        break;
    case 9:
        putchar(0xc4);
        putchar((int)(next_random(state) & 0xe0) | (int)(1 + next_random(state) % 3));
        break;
    case 10:
        putchar(0x62);
        putchar((int)(next_random(state) & 0xf0) | (int)(1 + next_random(state) % 6));
        putchar((int)(next_random(state) & 0xff) | 4);
        break;
    case 11:
        putchar(0x8f);
        putchar((int)(next_random(state) & 0xe0) | (int)(8 + next_random(state) % 3));
        break;
    }
    put_random(state, 2 + (unsigned)(next_random(state) % 10));
}

static int put_items(uint64_t state, uint64_t count)
{
    while (count-- > 0)
        put_item(&state);
    return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_ERROR;
}

int main(int argc, char **argv)
{
    struct image image;
    struct comparison comparison = {.image = &image};

    if (argc == 4 && strcmp(argv[1], "--random") == 0)
        return put_items(strtoull(argv[2], NULL, 0), strtoull(argv[3], NULL, 0));
    if (argc < 2 || argc > 3)
        die("usage", "decode_elf FILE [MAX_INSTRUCTIONS], decode_elf --random SEED ITEMS");
    open_image(&image, argv[1]);
    compare(&comparison, stdin, argc == 3 ? strtoull(argv[2], NULL, 0) : UINT64_MAX);
    printf("%" PRIu64 " instructions, %" PRIu64 " differences, passed over: %" PRIu64
           " not instructions, %" PRIu64 " only prefixes, %" PRIu64 " of APX: %s\n",
           comparison.compared, comparison.differences, comparison.bad, comparison.prefixes,
           comparison.apx, image.path);
    close_image(&image);
    return comparison.differences ? EXIT_DIFFERENT : EXIT_SUCCESS;
}
