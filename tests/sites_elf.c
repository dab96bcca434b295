/* SPDX-License-Identifier: MIT */
/*
 * Lists the system calls of an ELF file, as the file's own addresses, one a line:
 *
 *     sites_elf FILE [ROUNDS]
 *
 *     ADDRESS METHOD REASON NUMBER PATCH_AT PATCH_SIZE LANDING HOP
 *
 * METHOD and REASON are the numbers of sta/transform.h. With ROUNDS, does it that often and prints
 * to stderr how long the fastest round took. Exits with 3 if FILE is not an executable or a shared
 * object for x86-64.
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

enum { EXIT_ERROR = 2, EXIT_OTHER_FILE = 3 };

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

static uint64_t relative(uintptr_t address, uintptr_t base)
{
    return address ? address - base : 0;
}

static void print_site(const struct sta__site *site, void *data)
{
    uintptr_t base = ((const struct image *)data)->base;

    printf("%" PRIx64 " %d %d %d %" PRIx64 " %d %" PRIx64 " %" PRIx64 "\n",
           relative(site->address, base), site->method, site->reason, site->nr,
           relative(site->patch_at, base), site->patch_size, relative(site->landing, base),
           relative(site->hop, base));
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

static double fastest_us(const struct sta__code *code, unsigned rounds)
{
    double fastest = 1e18;

    while (rounds-- > 0) {
        double start = now_us(), took;

        sta__sites_find(code, pass_over, NULL);
        took = now_us() - start;
        if (took < fastest)
            fastest = took;
    }
    return fastest;
}

int main(int argc, char **argv)
{
    struct image image;
    struct sta__unwind unwind;
    bool has_unwind;

    if (argc < 2 || argc > 3)
        die("usage", "sites_elf FILE [ROUNDS]");
    read_file(&image, argv[1]);
    check_header(&image);
    load(&image);
    has_unwind = open_unwind(&image, &unwind);
    for (size_t i = 0; i < image.segment_count; i++) {
        const Elf64_Phdr *segment = &image.segments[i];
        uintptr_t start = image.base + segment->p_vaddr;
        struct sta__code code = {start, start + segment->p_filesz, has_unwind ? &unwind : NULL};

        if (segment->p_type != PT_LOAD || !(segment->p_flags & PF_X))
            continue;
        if (argc == 3)
            fprintf(stderr, "%.0f us\n", fastest_us(&code, (unsigned)atoi(argv[2])));
        if (sta__sites_find(&code, print_site, &image) < 0)
            die(image.path, "no memory");
    }
    return EXIT_SUCCESS;
}
