/* SPDX-License-Identifier: MIT */
/*
 * Compares the system calls found in an ELF file with objdump's listing of it:
 *
 *     objdump -d -w -z FILE | sites_elf FILE
 *
 * Each `syscall` that objdump shows must be found; what is to be rewritten must be one; a jump must
 * replace exactly one instruction; padding must lie in nops and int3, be within reach, and be given
 * to one site only; where `mov` is the method, objdump must show it with this number.
 *
 * Prints what is wrong and a line of totals; exits with 1 if something is, with 3 if FILE is not an
 * executable or a shared object for x86-64. Code that objdump cannot follow either is no reason to
 * complain: a `syscall` of its that we leave alone because we do not know what it is.
 *
 *     sites_elf --list FILE
 *
 * prints a line for each site: address, method, reason, number, address and size of what is
 * patched, landing, hops, address and size of what is displaced, all as the file
 * counts them.
 *
 *     sites_elf --time ROUNDS FILE
 *
 * prints how long the fastest of so many rounds took.
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
#include <time.h>
#include <unistd.h>

#include "transform/site.h"

#define COMPLAINTS_SHOWN 20

enum { EXIT_WRONG = 1, EXIT_ERROR = 2, EXIT_OTHER_FILE = 3 };

/* The file, and its segments where a loader would put them, relative to `base`. */
struct image {
    const char *path;
    const uint8_t *bytes;
    size_t size;
    const Elf64_Phdr *segments;
    size_t segment_count;
    uint8_t *memory;
    uintptr_t base;
};

static void die(const char *what, const char *detail)
{
    fprintf(stderr, "sites_elf: %s: %s\n", what, detail);
    exit(EXIT_ERROR);
}

static void read_file(struct image *image, const char *path)
{
    struct stat status;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0 || fstat(fd, &status) < 0)
        die(path, strerror(errno));
    image->path = path;
    image->size = (size_t)status.st_size;
    image->bytes = mmap(NULL, image->size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (image->bytes == MAP_FAILED)
        die(path, strerror(errno));
    close(fd);
}

static void check_header(struct image *image)
{
    const Elf64_Ehdr *header = (const void *)image->bytes;

    if (image->size < sizeof(*header) || memcmp(header->e_ident, ELFMAG, SELFMAG) != 0 ||
        header->e_ident[EI_CLASS] != ELFCLASS64 || header->e_machine != EM_X86_64 ||
        (header->e_type != ET_EXEC && header->e_type != ET_DYN))
        exit(EXIT_OTHER_FILE);
    image->segments = (const void *)(image->bytes + header->e_phoff);
    image->segment_count = header->e_phnum;
    if (header->e_phoff > image->size ||
        image->segment_count * sizeof(*image->segments) > image->size - header->e_phoff)
        die(image->path, "cut short");
}

static void load(struct image *image)
{
    uint64_t low = UINT64_MAX, high = 0;

    for (size_t i = 0; i < image->segment_count; i++) {
        const Elf64_Phdr *segment = &image->segments[i];

        if (segment->p_type != PT_LOAD)
            continue;
        if (segment->p_offset > image->size || segment->p_filesz > image->size - segment->p_offset)
            die(image->path, "cut short");
        if (segment->p_vaddr < low)
            low = segment->p_vaddr;
        if (segment->p_vaddr + segment->p_filesz > high)
            high = segment->p_vaddr + segment->p_filesz;
    }
    if (low >= high)
        exit(EXIT_OTHER_FILE);
    image->memory = mmap(NULL, high - low, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (image->memory == MAP_FAILED)
        die(image->path, strerror(errno));
    image->base = (uintptr_t)image->memory - low;
    for (size_t i = 0; i < image->segment_count; i++) {
        const Elf64_Phdr *segment = &image->segments[i];

        if (segment->p_type == PT_LOAD)
            memcpy((void *)(image->base + segment->p_vaddr), image->bytes + segment->p_offset,
                   segment->p_filesz);
    }
}

static bool open_unwind(const struct image *image, struct sta__unwind *unwind)
{
    const Elf64_Phdr *header = NULL;

    for (size_t i = 0; i < image->segment_count; i++)
        if (image->segments[i].p_type == PT_GNU_EH_FRAME)
            header = &image->segments[i];
    for (size_t i = 0; i < image->segment_count && header; i++) {
        const Elf64_Phdr *segment = &image->segments[i];

        if (segment->p_type == PT_LOAD && header->p_vaddr >= segment->p_vaddr &&
            header->p_vaddr < segment->p_vaddr + segment->p_filesz) {
            uintptr_t low = image->base + segment->p_vaddr;

            return sta__unwind_open(unwind, image->base + header->p_vaddr, low,
                                    low + segment->p_filesz) == 0;
        }
    }
    return false;
}

/* What objdump has to say about a byte. */
#define SHOWN_START   1u /* an instruction begins here */
#define SHOWN_SYSCALL 2u /* and it is this one */
#define SHOWN_PADDING 4u /* this byte is a part of a nop or int3 */
#define SHOWN_TAKEN   8u /* ours: given to a site */

/* One segment with code, and what was found in it. */
struct segment {
    const struct image *image;
    struct sta__code code;
    struct sta__site *sites;
    size_t count, room;
    uint8_t *shown;     /* a byte for each */
    int32_t *mov_shown; /* for each site: the number in the mov that objdump shows at patch_at */
};

static uint64_t complaints;

static uint64_t relative(const struct segment *segment, uintptr_t address)
{
    return address ? address - segment->image->base : 0;
}

static void complain(const struct segment *segment, uintptr_t address, const char *what)
{
    if (++complaints <= COMPLAINTS_SHOWN)
        printf("%s: %#" PRIx64 ": %s\n", segment->image->path, relative(segment, address), what);
}

static void keep_site(const struct sta__site *site, void *data)
{
    struct segment *segment = data;

    if (segment->count == segment->room) {
        segment->room = segment->room ? 2 * segment->room : 1024;
        segment->sites = realloc(segment->sites, segment->room * sizeof(*segment->sites));
        if (!segment->sites)
            die(segment->image->path, "no memory");
    }
    segment->sites[segment->count++] = *site;
}

/* The segments with code; the one behind the last has no image. */
static struct segment *find_all(const struct image *image, const struct sta__unwind *unwind)
{
    struct segment *segments = calloc(image->segment_count + 1, sizeof(*segments));
    size_t count = 0;

    if (!segments)
        die(image->path, "no memory");
    for (size_t i = 0; i < image->segment_count; i++) {
        const Elf64_Phdr *header = &image->segments[i];
        uintptr_t start = image->base + header->p_vaddr;
        struct segment *segment = &segments[count];

        if (header->p_type != PT_LOAD || !(header->p_flags & PF_X))
            continue;
        segment->image = image;
        segment->code = (struct sta__code){start, start + header->p_filesz, unwind};
        if (sta__sites_find(&segment->code, keep_site, segment) != (int)segment->count)
            die(image->path, "the sites were not counted right");
        count++;
    }
    return segments;
}

/* The listing */

struct line {
    uint64_t address;
    const char *instruction;
};

/* "  401000:\t55                   \tpush   %rbp" */
static bool parse_line(struct line *line, char *text)
{
    char *end, *instruction;

    line->address = strtoull(text, &end, 16);
    if (end == text || end[0] != ':' || end[1] != '\t')
        return false;
    instruction = strchr(end + 2, '\t');
    line->instruction = instruction ? instruction + 1 : "";
    text[strcspn(text, "\n")] = '\0';
    return true;
}

static bool begins_with(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

static bool is_syscall(const char *instruction)
{
    return begins_with(instruction, "syscall") &&
           strspn(instruction + 7, " ") == strlen(instruction + 7);
}

/* "nopw   0x0(%rax,%rax,1)", "data16 cs nopw ...", "xchg   %ax,%ax", "int3" */
static bool is_padding(const char *instruction)
{
    static const char *const prefixes[] = {"data16 ", "cs ", "rex.W "};

    for (size_t i = 0; i < sizeof(prefixes) / sizeof(*prefixes); i++)
        if (begins_with(instruction, prefixes[i]))
            return is_padding(instruction + strlen(prefixes[i]));
    return begins_with(instruction, "nop") || begins_with(instruction, "int3") ||
           begins_with(instruction, "xchg   %ax,%ax");
}

/* "mov    $0x27,%eax" */
static int32_t number_moved(const char *instruction)
{
    const char *value = strstr(instruction, "$0x");
    char *end;
    unsigned long long number;

    if (!begins_with(instruction, "mov") || !value)
        return STA__NR_UNKNOWN;
    number = strtoull(value + 1, &end, 16);
    if (!begins_with(end, ",%eax") && !begins_with(end, ",%rax"))
        return STA__NR_UNKNOWN;
    return number <= INT32_MAX ? (int32_t)number : STA__NR_UNKNOWN;
}

static struct segment *segment_at(struct segment *segments, uintptr_t address)
{
    for (; segments->image; segments++)
        if (address >= segments->code.start && address < segments->code.end)
            return segments;
    return NULL;
}

/* The listing goes from `line` to `end`, where the next one begins. */
static void take_line(struct segment *segment, const struct line *line, uintptr_t end)
{
    uintptr_t start = segment->image->base + line->address;
    uint8_t flags = is_padding(line->instruction) ? SHOWN_PADDING : 0;

    if (end <= start || end > segment->code.end || end - start > 15)
        end = start + 1;
    for (uintptr_t at = start; at < end; at++)
        segment->shown[at - segment->code.start] |= flags;
    segment->shown[start - segment->code.start] |=
        SHOWN_START | (is_syscall(line->instruction) ? SHOWN_SYSCALL : 0);
    for (size_t i = 0; i < segment->count; i++)
        if (segment->sites[i].patch_at == start)
            segment->mov_shown[i] = number_moved(line->instruction);
}

static void read_listing(struct segment *segments, FILE *listing)
{
    char *text[2] = {NULL, NULL};
    size_t room[2] = {0, 0};
    struct line line = {0, NULL}, next;
    unsigned which = 0;

    for (struct segment *segment = segments; segment->image; segment++) {
        segment->shown = calloc(segment->code.end - segment->code.start, 1);
        segment->mov_shown = calloc(segment->count + 1, sizeof(*segment->mov_shown));
        if (!segment->shown || !segment->mov_shown)
            die(segment->image->path, "no memory");
    }
    while (getline(&text[which], &room[which], listing) >= 0) {
        uintptr_t base = segments->image ? segments->image->base : 0;
        struct segment *segment;

        if (!parse_line(&next, text[which]))
            continue;
        segment = line.instruction ? segment_at(segments, base + line.address) : NULL;
        if (segment)
            take_line(segment, &line, base + next.address);
        line = next;
        which = !which;
    }
    if (line.instruction && segment_at(segments, segments->image->base + line.address))
        take_line(segment_at(segments, segments->image->base + line.address), &line, 0);
    free(text[0]);
    free(text[1]);
}

/* The comparison */

static uint8_t *shown_at(const struct segment *segment, uintptr_t address)
{
    return &segment->shown[address - segment->code.start];
}

static bool is_in_reach(uintptr_t jump, uintptr_t to)
{
    intptr_t distance = (intptr_t)(to - (jump + STA__SHORT_JUMP_SIZE));

    return distance >= INT8_MIN && distance <= INT8_MAX;
}

static void check_padding(const struct segment *segment, uintptr_t from, uintptr_t address,
                          unsigned size)
{
    if (!is_in_reach(from, address))
        complain(segment, from, "padding out of reach");
    for (uintptr_t at = address; at < address + size; at++) {
        if (!(*shown_at(segment, at) & SHOWN_PADDING))
            complain(segment, at, "used as padding, and is none");
        if (*shown_at(segment, at) & SHOWN_TAKEN)
            complain(segment, at, "given away twice");
        *shown_at(segment, at) |= SHOWN_TAKEN;
    }
}

/* One instruction, as a whole. */
static void check_instruction(const struct segment *segment, uintptr_t at, uintptr_t end)
{
    if (!(*shown_at(segment, at) & SHOWN_START))
        complain(segment, at, "changed, and no instruction");
    while (++at < end)
        if (*shown_at(segment, at) & SHOWN_START)
            complain(segment, at, "inside what is changed, and an instruction");
    if (end < segment->code.end && !(*shown_at(segment, end) & SHOWN_START))
        complain(segment, end, "behind what is changed, and no instruction");
}

/* From patch_at to behind what is replaced: one instruction. */
static void check_patched(const struct segment *segment, const struct sta__site *site)
{
    uintptr_t end = site->patch_at + site->patch_size;

    check_instruction(segment, site->patch_at, end);
    for (uintptr_t at = site->patch_at; at < end; at++) {
        if (*shown_at(segment, at) & SHOWN_TAKEN)
            complain(segment, at, "patched, and given away");
        *shown_at(segment, at) |= SHOWN_TAKEN;
    }
    if (end > site->address + STA__SHORT_JUMP_SIZE)
        complain(segment, site->address, "patched behind the call");
}

/* A jump takes the place of its first bytes; the others are as good as padding then. */
static void check_displaced(const struct segment *segment, const struct sta__site *site)
{
    check_instruction(segment, site->displaced, site->displaced + site->displaced_size);
    for (unsigned i = 0; i < site->displaced_size; i++) {
        uint8_t *shown = shown_at(segment, site->displaced + i);

        if (*shown & SHOWN_TAKEN)
            complain(segment, site->displaced + i, "displaced, and given away");
        *shown |= i < STA__NEAR_JUMP_SIZE ? SHOWN_TAKEN : SHOWN_PADDING;
    }
}

/* From the site over its hops to its landing. */
static void check_way(const struct segment *segment, const struct sta__site *site)
{
    uintptr_t from = site->address;

    if (site->displaced)
        check_displaced(segment, site);
    for (unsigned i = 0; i < STA__HOP_MAX && site->hops[i]; i++) {
        check_padding(segment, from, site->hops[i], STA__SHORT_JUMP_SIZE);
        from = site->hops[i];
    }
    check_padding(segment, from, site->landing, STA__NEAR_JUMP_SIZE);
}

static void check_rewritten(const struct segment *segment, size_t index)
{
    const struct sta__site *site = &segment->sites[index];

    if (!(*shown_at(segment, site->address) & SHOWN_SYSCALL))
        complain(segment, site->address, "no system call to objdump");
    check_patched(segment, site);
    switch (site->method) {
    case STA_SITE_MOV:
        if (site->patch_at + site->patch_size != site->address)
            complain(segment, site->address, "the mov is not just before it");
        if (segment->mov_shown[index] != site->nr)
            complain(segment, site->address, "not the number that objdump shows");
        break;
    case STA_SITE_SHORT:
        check_way(segment, site);
        break;
    case STA_SITE_DETOUR:
        if (site->patch_at + site->patch_size > site->address ||
            site->patch_size < STA__NEAR_JUMP_SIZE)
            complain(segment, site->address, "no room for the detour");
        break;
    }
}

static bool is_found(const struct segment *segment, uintptr_t address)
{
    for (size_t i = 0; i < segment->count; i++)
        if (segment->sites[i].address == address)
            return segment->sites[i].method != STA_SITE_LEFT ||
                   segment->sites[i].reason != STA_REASON_NO_CODE;
    return false;
}

static unsigned check_segment(const struct segment *segment)
{
    unsigned shown = 0;

    for (size_t i = 0; i < segment->count; i++)
        if (segment->sites[i].method != STA_SITE_LEFT)
            check_rewritten(segment, i);
    for (uintptr_t at = segment->code.start; at < segment->code.end; at++) {
        if (!(*shown_at(segment, at) & SHOWN_SYSCALL))
            continue;
        shown++;
        if (!is_found(segment, at))
            complain(segment, at, "a system call that was not found");
    }
    return shown;
}

static void check_all(struct segment *segments)
{
    static const char *const methods[] = {"left", "mov", "short", "detour", "trap"};
    unsigned by_method[STA_SITE_METHOD_COUNT] = {0}, by_reason[STA_REASON_COUNT] = {0}, shown = 0;
    unsigned hops = 0, displaced = 0, known = 0;
    const char *path = segments->image ? segments->image->path : "";

    for (struct segment *segment = segments; segment->image; segment++) {
        shown += check_segment(segment);
        for (size_t i = 0; i < segment->count; i++) {
            by_method[segment->sites[i].method]++;
            by_reason[segment->sites[i].reason]++;
            hops += segment->sites[i].hops[0] != 0;
            displaced += segment->sites[i].displaced != 0;
            known += segment->sites[i].nr != STA__NR_UNKNOWN;
        }
    }
    printf("%u system calls to objdump;", shown);
    for (unsigned i = 0; i < STA_SITE_METHOD_COUNT; i++)
        printf(" %u %s,", by_method[i], methods[i]);
    printf(" of these %u with a hop, %u that displace, %u numbers known, %u no code, %u unknown "
           "code, %u for"
           " cancellation, %" PRIu64 " complaints: %s\n",
           hops, displaced, known, by_reason[STA_REASON_NO_CODE],
           by_reason[STA_REASON_UNKNOWN_CODE], by_reason[STA_REASON_CANCELLATION], complaints,
           path);
}

static void list_all(const struct segment *segments)
{
    for (; segments->image; segments++)
        for (size_t i = 0; i < segments->count; i++) {
            const struct sta__site *site = &segments->sites[i];

            printf("%" PRIx64 " %s, %s, %d, %" PRIx64 " %d %" PRIx64,
                   relative(segments, site->address),
                   sta_site_method_name((enum sta_site_method)site->method),
                   sta_site_reason_text((enum sta_site_reason)site->reason), site->nr,
                   relative(segments, site->patch_at), site->patch_size,
                   relative(segments, site->landing));
            for (unsigned h = 0; h < STA__HOP_MAX; h++)
                printf(" %" PRIx64, relative(segments, site->hops[h]));
            printf(" %" PRIx64 " %d\n", relative(segments, site->displaced), site->displaced_size);
        }
}

static void pass_over(const struct sta__site *site, void *data)
{
    (void)site;
    (void)data;
}

static double now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static void time_all(const struct segment *segments, unsigned rounds)
{
    for (; segments->image; segments++) {
        double fastest = 1e18;

        for (unsigned i = 0; i < rounds; i++) {
            double start = now_us(), took;

            sta__sites_find(&segments->code, pass_over, NULL);
            took = now_us() - start;
            if (took < fastest)
                fastest = took;
        }
        printf("%.0f us\n", fastest);
    }
}

int main(int argc, char **argv)
{
    const char *mode = argc > 2 ? argv[1] : "";
    struct image image;
    struct sta__unwind unwind;
    struct segment *segments;

    if (argc < 2)
        die("usage", "sites_elf [--list | --time ROUNDS] FILE");
    read_file(&image, argv[argc - 1]);
    check_header(&image);
    load(&image);
    segments = find_all(&image, open_unwind(&image, &unwind) ? &unwind : NULL);
    if (strcmp(mode, "--list") == 0) {
        list_all(segments);
    } else if (strcmp(mode, "--time") == 0) {
        time_all(segments, (unsigned)atoi(argv[2]));
    } else {
        read_listing(segments, stdin);
        check_all(segments);
    }
    for (struct segment *segment = segments; segment->image; segment++) {
        free(segment->sites);
        free(segment->shown);
        free(segment->mov_shown);
    }
    free(segments);
    return complaints ? EXIT_WRONG : EXIT_SUCCESS;
}
