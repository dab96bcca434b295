/* SPDX-License-Identifier: MIT */
#include "transform/object.h"

#include <errno.h>
#include <sys/stat.h>

#include "base/pages.h"

/* More than any file has; keeps the headers within the first page or two. */
#define SEGMENT_MAX 64

void sta__object_add_readable(struct sta__object *object, uintptr_t start, uintptr_t end)
{
    unsigned count = object->readable_count;

    if (count > 0 && object->readable[count - 1].end == start) {
        object->readable[count - 1].end = end;
    } else if (count < STA__OBJECT_RANGE_MAX) {
        object->readable[count].start = start;
        object->readable[count].end = end;
        object->readable_count = count + 1;
    }
}

/* The readable range that `address` lies in; NULL if none. */
static const struct sta__range *range_of(const struct sta__object *object, uintptr_t address)
{
    for (unsigned i = 0; i < object->readable_count; i++) {
        if (address >= object->readable[i].start && address < object->readable[i].end)
            return &object->readable[i];
    }
    return NULL;
}

static bool is_ours(const Elf64_Ehdr *header)
{
    return header->e_ident[EI_MAG0] == ELFMAG0 && header->e_ident[EI_MAG1] == ELFMAG1 &&
           header->e_ident[EI_MAG2] == ELFMAG2 && header->e_ident[EI_MAG3] == ELFMAG3 &&
           header->e_ident[EI_CLASS] == ELFCLASS64 && header->e_ident[EI_DATA] == ELFDATA2LSB &&
           header->e_machine == EM_X86_64 && header->e_phentsize == sizeof(Elf64_Phdr) &&
           header->e_phnum > 0 && header->e_phnum <= SEGMENT_MAX;
}

static const Elf64_Phdr *segment_of_type(const struct sta__object *object, uint32_t type)
{
    for (unsigned i = 0; i < object->segment_count; i++) {
        if (object->segments[i].p_type == type)
            return &object->segments[i];
    }
    return NULL;
}

static bool find_segments(struct sta__object *object)
{
    const Elf64_Ehdr *header = (const Elf64_Ehdr *)object->header;
    const struct sta__range *range = range_of(object, object->header);
    const Elf64_Phdr *first;

    if (!range || range->end - object->header < sizeof(*header) || !is_ours(header))
        return false;
    if (header->e_phoff % 8 != 0 || header->e_phoff > range->end - object->header ||
        (range->end - object->header - header->e_phoff) / sizeof(Elf64_Phdr) < header->e_phnum)
        return false;
    object->segments = (const Elf64_Phdr *)(object->header + header->e_phoff);
    object->segment_count = header->e_phnum;
    first = segment_of_type(object, PT_LOAD);
    /* The header is at offset 0 of the file, and so is the first segment's page. */
    if (!first || sta__page_of(first->p_offset) != 0)
        return false;
    object->bias = object->header - sta__page_of(first->p_vaddr);
    return true;
}

int sta__object_open(struct sta__object *object)
{
    const struct sta__range *range;
    const Elf64_Phdr *unwind;
    uintptr_t header;

    object->has_unwind = false;
    if (!find_segments(object))
        return -ENOEXEC;
    unwind = segment_of_type(object, PT_GNU_EH_FRAME);
    if (!unwind)
        return 0;
    header = object->bias + unwind->p_vaddr;
    range = range_of(object, header);
    if (range)
        object->has_unwind =
            sta__unwind_open(&object->unwind, header, range->start, range->end) == 0;
    return 0;
}

bool sta__object_code_at(const struct sta__object *object, uintptr_t address,
                         struct sta__range *out)
{
    const struct sta__range *readable = range_of(object, address);

    for (unsigned i = 0; readable && i < object->segment_count; i++) {
        const Elf64_Phdr *segment = &object->segments[i];
        uintptr_t start = object->bias + segment->p_vaddr;
        uintptr_t end = start + segment->p_filesz;

        if (segment->p_type != PT_LOAD || !(segment->p_flags & PF_X) || end <= start ||
            address < sta__page_of(start) || address >= end)
            continue;
        out->start = start > readable->start ? start : readable->start;
        out->end = end < readable->end ? end : readable->end;
        return out->start < out->end;
    }
    return false;
}

/* Its end is that of the page, as the kernel maps whole pages. */
static bool map_segment(int fd, uintptr_t bias, const Elf64_Phdr *segment)
{
    uintptr_t start = sta__page_of(bias + segment->p_vaddr);
    uintptr_t end = sta__page_up(bias + segment->p_vaddr + segment->p_filesz);

    return !sta__is_error(STA__RAW6(SYS_mmap, start, end - start, PROT_READ,
                                    MAP_PRIVATE | MAP_FIXED, fd, sta__page_of(segment->p_offset)));
}

/* Whether a page of the file can be a page in memory, so that nothing behind the file's last page
 * is mapped, and the segment's last page has an end: rounded up, it must not be 0. */
static bool is_mappable(const Elf64_Phdr *segment)
{
    return segment->p_filesz <= segment->p_memsz &&
           segment->p_memsz <= UINTPTR_MAX - STA__PAGE_SIZE &&
           segment->p_vaddr <= UINTPTR_MAX - STA__PAGE_SIZE - segment->p_memsz &&
           (segment->p_vaddr - segment->p_offset) % STA__PAGE_SIZE == 0;
}

/* Addresses of the file that its segments span. */
static bool span(const struct sta__object *object, struct sta__range *out)
{
    out->start = UINTPTR_MAX;
    out->end = 0;
    for (unsigned i = 0; i < object->segment_count; i++) {
        const Elf64_Phdr *segment = &object->segments[i];

        if (segment->p_type != PT_LOAD)
            continue;
        if (!is_mappable(segment))
            return false;
        if (sta__page_of(segment->p_vaddr) < out->start)
            out->start = sta__page_of(segment->p_vaddr);
        if (sta__page_up(segment->p_vaddr + segment->p_memsz) > out->end)
            out->end = sta__page_up(segment->p_vaddr + segment->p_memsz);
    }
    return out->start < out->end;
}

/* `headers` is the file's beginning. What the program writes to is left out. */
static int map_segments(struct sta__object *object, const struct sta__object *headers, int fd,
                        struct sta__range *mapping)
{
    struct sta__range in_file;
    int64_t got;

    if (!span(headers, &in_file))
        return -ENOEXEC;
    got = STA__RAW6(SYS_mmap, 0, in_file.end - in_file.start, PROT_NONE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (sta__is_error(got))
        return (int)got;
    mapping->start = (uintptr_t)got;
    mapping->end = mapping->start + (in_file.end - in_file.start);
    object->header = mapping->start;
    for (unsigned i = 0; i < headers->segment_count; i++) {
        const Elf64_Phdr *segment = &headers->segments[i];
        uintptr_t bias = mapping->start - in_file.start;

        if (segment->p_type != PT_LOAD || (segment->p_flags & PF_W) || segment->p_filesz == 0)
            continue;
        if (!map_segment(fd, bias, segment)) {
            sta__object_unmap(mapping);
            return -ENOEXEC;
        }
        sta__object_add_readable(object, sta__page_of(bias + segment->p_vaddr),
                                 sta__page_up(bias + segment->p_vaddr + segment->p_filesz));
    }
    return 0;
}

static bool is_whole(const struct sta__object *headers, uint64_t size)
{
    for (unsigned i = 0; i < headers->segment_count; i++) {
        const Elf64_Phdr *segment = &headers->segments[i];

        if (segment->p_type == PT_LOAD &&
            (segment->p_offset > size || segment->p_filesz > size - segment->p_offset))
            return false;
    }
    return true;
}

int sta__object_map(struct sta__object *object, int fd, struct sta__range *mapping)
{
    struct sta__object headers; /* filled member by member: an initialiser is a call of memset */
    int err = -ENOEXEC;
    struct stat file;
    int64_t page;

    /* Reading behind the last page of a file is SIGBUS; what is missing in it is zeros. */
    if (STA__RAW2(SYS_fstat, fd, &file) < 0 || file.st_size < (off_t)sizeof(Elf64_Ehdr))
        return -ENOEXEC;
    page = STA__RAW6(SYS_mmap, 0, STA__PAGE_SIZE, PROT_READ, MAP_PRIVATE, fd, 0);
    if (sta__is_error(page))
        return (int)page;
    headers.header = (uintptr_t)page;
    headers.readable_count = 0;
    sta__object_add_readable(&headers, headers.header, headers.header + STA__PAGE_SIZE);
    object->readable_count = 0;
    if (find_segments(&headers) && is_whole(&headers, (uint64_t)file.st_size))
        err = map_segments(object, &headers, fd, mapping);
    STA__RAW2(SYS_munmap, page, STA__PAGE_SIZE);
    if (err < 0)
        return err;
    err = sta__object_open(object);
    if (err < 0)
        sta__object_unmap(mapping);
    return err;
}

void sta__object_unmap(const struct sta__range *mapping)
{
    STA__RAW2(SYS_munmap, mapping->start, mapping->end - mapping->start);
}
