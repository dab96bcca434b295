/* SPDX-License-Identifier: MIT */
/*
 * Opening ELF files: those of this process, against what the loader knows of them, and damaged
 * ones, which must be refused without harm.
 */
#include "core.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <link.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "transform/maps.h"
#include "transform/object.h"

static const char *const library_paths[] = {LIBRARY_PATHS};

/* What this process has loaded */

/* Everything readable, as the loader has mapped it. */
static struct sta__object object_of(const struct dl_phdr_info *info)
{
    struct sta__object object = {.readable_count = 0};

    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
        uintptr_t start = info->dlpi_addr + segment->p_vaddr;

        if (segment->p_type != PT_LOAD || !(segment->p_flags & PF_R))
            continue;
        if (object.readable_count == 0)
            object.header = sta__page_of(start);
        sta__object_add_readable(&object, sta__page_of(start),
                                 sta__page_up(start + segment->p_filesz));
    }
    return object;
}

static void check_segment(const struct sta__object *object, uintptr_t bias,
                          const ElfW(Phdr) * segment)
{
    uintptr_t start = bias + segment->p_vaddr, end = start + segment->p_filesz;
    struct sta__range code;

    if (segment->p_type != PT_LOAD || !(segment->p_flags & PF_R))
        return;
    if (!(segment->p_flags & PF_X)) {
        must(!sta__object_code_at(object, end - 1, &code) || code.end <= end - 1);
        return;
    }
    must(sta__object_code_at(object, start, &code));
    must_equal(code.start, start);
    must_equal(code.end, end);
    must(sta__object_code_at(object, sta__page_of(start), &code));
    must_equal(code.start, start);
    must(sta__object_code_at(object, end - 1, &code));
    must_equal(code.end, end);
    must(!sta__object_code_at(object, end, &code));
}

static int open_and_compare(struct dl_phdr_info *info, size_t size, void *data)
{
    struct sta__object object = object_of(info);
    uintptr_t unwind = 0;

    (void)size;
    must_equal(sta__object_open(&object), 0);
    must_equal(object.bias, info->dlpi_addr);
    must_equal(object.segment_count, info->dlpi_phnum);
    for (int i = 0; i < info->dlpi_phnum; i++) {
        check_segment(&object, info->dlpi_addr, &info->dlpi_phdr[i]);
        if (info->dlpi_phdr[i].p_type == PT_GNU_EH_FRAME)
            unwind = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;
    }
    must_equal(object.has_unwind, unwind != 0);
    if (unwind)
        must_equal(object.unwind.header, unwind);
    ++*(int *)data;
    return 0;
}

static void all_objects_of_this_process_are_opened(void **state)
{
    int count = 0;

    (void)state;
    dl_iterate_phdr(open_and_compare, &count);
    assert_true(count >= 3); /* the program, libc, the vDSO */
}

/* Of what is not readable nothing is said, whatever the headers promise. */
static int open_with_a_part(struct dl_phdr_info *info, size_t size, void *data)
{
    struct sta__object object = object_of(info);
    struct sta__range code;

    (void)size, (void)data;
    object.readable_count = 1;
    object.readable[0].end = object.header + sta__page_of(object.readable[0].end - object.header);
    if (sta__object_open(&object) < 0)
        return 0;
    for (uintptr_t at = object.header; at < object.header + (1 << 20); at += 512) {
        if (!sta__object_code_at(&object, at, &code))
            continue;
        must(code.start >= object.readable[0].start && code.end <= object.readable[0].end);
    }
    object.readable[0].end = object.header + 80; /* the ELF header, and a part of the others */
    must_equal(sta__object_open(&object), -ENOEXEC);
    object.readable[0].end = object.header + 63;
    must_equal(sta__object_open(&object), -ENOEXEC);
    object.readable_count = 0;
    must_equal(sta__object_open(&object), -ENOEXEC);
    return 0;
}

static void what_is_not_readable_is_not_looked_at(void **state)
{
    (void)state;
    dl_iterate_phdr(open_with_a_part, NULL);
}

/* Files */

struct found {
    const char *path;
    uintptr_t bias;
    const ElfW(Phdr) * code;
};

static int find_libc(struct dl_phdr_info *info, size_t size, void *data)
{
    struct found *found = data;

    (void)size;
    if (!strstr(info->dlpi_name, "/libc.so"))
        return 0;
    found->path = info->dlpi_name;
    found->bias = info->dlpi_addr;
    for (int i = 0; i < info->dlpi_phnum; i++)
        if (info->dlpi_phdr[i].p_type == PT_LOAD && (info->dlpi_phdr[i].p_flags & PF_X))
            found->code = &info->dlpi_phdr[i];
    return 1;
}

static void the_code_in_a_file_is_that_in_memory(void **state)
{
    struct found libc = {.path = NULL};
    struct sta__object object;
    struct sta__range mapping, code;
    uintptr_t start;
    int fd;

    (void)state;
    if (!dl_iterate_phdr(find_libc, &libc) || !libc.code)
        skip(); /* a static libc */
    start = libc.bias + libc.code->p_vaddr;
    fd = open(libc.path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(sta__object_map(&object, fd, &mapping), 0);
    assert_true(object.has_unwind);
    assert_true(sta__object_code_at(&object, start - libc.bias + object.bias, &code));
    assert_int_equal(code.end - code.start, libc.code->p_filesz);
    assert_int_equal(code.start - object.bias, start - libc.bias);
    assert_memory_equal(code.start, start, code.end - code.start);
    sta__object_unmap(&mapping);
    close(fd);
}

/* The mappings of this process; true: as they were when it was last asked. */

struct listing {
    uint64_t sum;
    unsigned count;
};

static bool add_up(const struct sta__map *map, void *data)
{
    struct listing *listing = data;
    uint64_t values[] = {map->start,    map->end,      map->offset,    map->inode,
                         map->readable, map->writable, map->executable};

    for (size_t i = 0; i < COUNT(values); i++)
        listing->sum = (listing->sum ^ values[i]) * UINT64_C(0x100000001b3) + 1;
    listing->count++;
    return true;
}

static struct listing list(void)
{
    struct listing listing = {0, 0};

    must_equal(sta__maps_each(add_up, &listing), 0);
    return listing;
}

static void check_listing(const struct listing *before)
{
    struct listing now = list();

    if (UNDER_TSAN) /* its runtime maps memory as it goes */
        return;
    must_equal(now.count, before->count);
    must(now.sum == before->sum);
}

/* Reads all that it is said can be read. Returns how many bytes were code. */
static size_t walk(const struct sta__object *object)
{
    struct sta__function function;
    struct sta__range code;
    size_t size = 0;
    unsigned char byte = 0;

    for (unsigned i = 0; i < object->readable_count; i++)
        for (uintptr_t at = object->readable[i].start; at < object->readable[i].end; at += 512)
            byte ^= *(const unsigned char *)at;
    for (unsigned i = 0; i < object->segment_count; i++) {
        if (!sta__object_code_at(object, object->bias + object->segments[i].p_vaddr, &code))
            continue;
        for (uintptr_t at = code.start; at < code.end; at++)
            byte ^= *(const unsigned char *)at;
        size += code.end - code.start;
    }
    for (size_t i = 0; object->has_unwind && i < object->unwind.count && i < 16; i++)
        sta__unwind_function(&object->unwind, i, &function);
    __asm__ volatile("" : : "r"(byte)); /* all of it was read */
    return size;
}

/* Maps it and gives it back. The size of its code, or -errno. */
static long try(int fd)
{
    struct sta__object object;
    struct sta__range mapping;
    int err = sta__object_map(&object, fd, &mapping);
    long size;

    if (err < 0)
        return err;
    size = (long)walk(&object);
    sta__object_unmap(&mapping);
    return size;
}

/* A small library, to be damaged. */
static unsigned char image[1 << 20];
static size_t image_size;

static Elf64_Ehdr *header(void)
{
    return (Elf64_Ehdr *)image;
}

static Elf64_Phdr *segment_number(unsigned index)
{
    return (Elf64_Phdr *)(image + header()->e_phoff) + index;
}

/* The first or another segment of this kind. */
static Elf64_Phdr *segment_with(uint32_t type, uint32_t flags)
{
    for (unsigned i = 0; i < header()->e_phnum; i++)
        if (segment_number(i)->p_type == type && (segment_number(i)->p_flags & flags) == flags)
            return segment_number(i);
    fail_msg("the library has no segment of type %u", type);
    return NULL;
}

static int read_library(void **state)
{
    int fd = open(library_paths[0], O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? -1 : read(fd, image, sizeof(image));

    (void)state;
    must(got > 4096 && got < (ssize_t)sizeof(image));
    image_size = (size_t)got;
    close(fd);
    return 0;
}

/* A file with the image as it is now. */
static int image_file(void)
{
    int fd = memfd_create("image", MFD_CLOEXEC);

    must(fd >= 0);
    must_equal(write(fd, image, image_size), image_size);
    return fd;
}

static long try_image(void)
{
    int fd = image_file();
    long result = try(fd);

    close(fd);
    return result;
}

static void a_file_that_is_cut_off_anywhere_is_refused_or_whole(void **state)
{
    struct listing before = list();
    uint64_t needed = 0;
    int fd = image_file();

    (void)state;
    assert_true(try(fd) > 0);
    for (unsigned i = 0; i < header()->e_phnum; i++)
        if (segment_number(i)->p_type == PT_LOAD &&
            segment_number(i)->p_offset + segment_number(i)->p_filesz > needed)
            needed = segment_number(i)->p_offset + segment_number(i)->p_filesz;
    for (size_t size = image_size; size > 0; size -= size < 64 ? size : 64) {
        must_equal(ftruncate(fd, (off_t)size), 0);
        if (size < needed)
            assert_int_equal(try(fd), -ENOEXEC);
        else
            assert_true(try(fd) > 0);
    }
    must_equal(ftruncate(fd, 0), 0);
    assert_int_equal(try(fd), -ENOEXEC);
    close(fd);
    check_listing(&before);
}

#define REFUSED(change)                          \
    do {                                         \
        read_library(NULL);                      \
        change;                                  \
        assert_int_equal(try_image(), -ENOEXEC); \
    } while (0)

static void what_is_no_file_for_this_machine_is_refused(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++)
        REFUSED(header()->e_ident[i] ^= 1);
    REFUSED(header()->e_ident[EI_CLASS] = ELFCLASS32);
    REFUSED(header()->e_ident[EI_DATA] = ELFDATA2MSB);
    REFUSED(header()->e_machine = EM_386);
    REFUSED(header()->e_machine = EM_AARCH64);
    REFUSED(header()->e_phentsize = 32);
    REFUSED(header()->e_phnum = 0);
    REFUSED(header()->e_phnum = 65);
    REFUSED(header()->e_phnum = PN_XNUM);
}

static void headers_that_lie_elsewhere_are_refused(void **state)
{
    (void)state;
    REFUSED(header()->e_phoff += 4);
    REFUSED(header()->e_phoff = 4096);
    REFUSED(header()->e_phoff = 4096 - sizeof(Elf64_Phdr));
    REFUSED(header()->e_phoff = UINT64_MAX - 7);
    REFUSED(header()->e_phoff = INT64_MAX - 7);
    REFUSED(for (unsigned i = 0; i < header()->e_phnum; i++) segment_number(i)->p_type = PT_NULL);
    REFUSED(segment_number(0)->p_offset = 4096); /* so that the header is in no segment */
}

/* `last` lies behind the others. */
static Elf64_Phdr *last_segment(void)
{
    Elf64_Phdr *last = segment_with(PT_LOAD, 0);

    for (unsigned i = 0; i < header()->e_phnum; i++)
        if (segment_number(i)->p_type == PT_LOAD && segment_number(i)->p_vaddr > last->p_vaddr)
            last = segment_number(i);
    last->p_flags = PF_R; /* it is to be mapped */
    return last;
}

static void segments_that_overflow_are_refused(void **state)
{
    struct listing before = list();
    Elf64_Phdr *last;

    (void)state;
    REFUSED(segment_with(PT_LOAD, PF_X)->p_memsz = UINT64_MAX);
    REFUSED(segment_with(PT_LOAD, PF_X)->p_memsz = 0);
    REFUSED(segment_with(PT_LOAD, PF_X)->p_filesz = UINT64_MAX);
    REFUSED(segment_with(PT_LOAD, PF_X)->p_offset = UINT64_MAX - 4095);
    REFUSED(last = last_segment(); last->p_vaddr = UINT64_MAX - 4095; last->p_memsz = 8192);
    check_listing(&before);
    /* It ends in the last page of all: rounded up, that is 0. */
    for (uint64_t below = 0x1000; below < 0x10000000; below *= 2) {
        REFUSED(last = last_segment(); last->p_vaddr = -below + (last->p_offset & 4095);
                last->p_memsz = UINT64_MAX - last->p_vaddr);
        check_listing(&before);
    }
}

/* A page of the file is a page in memory: what is not so cannot be mapped, and what is mapped
 * instead may end behind the file's end. */
static void segments_that_are_not_aligned_are_refused(void **state)
{
    struct listing before = list();
    Elf64_Phdr *last;

    (void)state;
    REFUSED(last = last_segment(); last->p_vaddr = 0x10000ff0; last->p_offset = 0;
            last->p_filesz = last->p_memsz = image_size);
    REFUSED(segment_with(PT_LOAD, PF_X)->p_vaddr += 16);
    check_listing(&before);
}

static void what_is_no_file_is_refused(void **state)
{
    struct listing before = list();
    char text[8192];
    int ends[2], fd;

    (void)state;
    must_equal(pipe(ends), 0);
    assert_true(try(ends[0]) < 0);
    assert_true(try(ends[1]) < 0);
    close(ends[0]);
    close(ends[1]);
    assert_true(try(-1) < 0);
    fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(try(fd) < 0);
    close(fd);
    fd = open("/dev/zero", O_RDONLY | O_CLOEXEC);
    assert_true(try(fd) < 0);
    close(fd);
    fd = open(library_paths[0], O_PATH | O_CLOEXEC);
    assert_true(try(fd) < 0);
    close(fd);
    fd = memfd_create("text", MFD_CLOEXEC);
    assert_int_equal(try(fd), -ENOEXEC);
    memset(text, 'x', sizeof(text));
    must_equal(write(fd, text, sizeof(text)), sizeof(text));
    assert_int_equal(try(fd), -ENOEXEC);
    close(fd);
    check_listing(&before);
}

/* A file that fits in a page is one nevertheless. */
static void a_file_of_less_than_a_page_is_opened(void **state)
{
    struct tiny {
        Elf64_Ehdr header;
        Elf64_Phdr segment;
        unsigned char code[8];
    } tiny = {.code = {0xb8, 39, 0, 0, 0, 0x0f, 0x05, 0xc3}};
    int fd = memfd_create("tiny", MFD_CLOEXEC);

    (void)state;
    memcpy(&tiny.header, image, sizeof(tiny.header));
    tiny.header.e_phoff = offsetof(struct tiny, segment);
    tiny.header.e_phnum = 1;
    tiny.segment = (Elf64_Phdr){.p_type = PT_LOAD,
                                .p_flags = PF_R | PF_X,
                                .p_filesz = sizeof(tiny),
                                .p_memsz = sizeof(tiny),
                                .p_align = 4096};
    must_equal(write(fd, &tiny, sizeof(tiny)), sizeof(tiny));
    assert_int_equal(try(fd), sizeof(tiny));
    close(fd);
}

/* Mutations */

static uint64_t random_state = 88172645463325252u;

static uint64_t random_number(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

/* Numbers at which something may overflow, and any. */
static uint64_t odd_number(void)
{
    static const uint64_t odd[] = {0,          1,          4095,           4096,
                                   0x7fffffff, 0x80000000, 0x7fffffffffff, INT64_MAX,
                                   UINT32_MAX, UINT64_MAX, -4096ull,       -4095ull};
    uint64_t any = random_number();

    return any & 1 ? odd[any / 2 % COUNT(odd)] + any / 64 % 3 - 1 : any >> (any / 2 % 64);
}

/* Changes some bytes of the first page, most of them in the headers. */
static void mutate(unsigned char *page)
{
    size_t headers = sizeof(Elf64_Ehdr) + header()->e_phnum * sizeof(Elf64_Phdr);

    for (uint64_t count = 1 + random_number() % 3; count > 0; count--) {
        size_t at = random_number() % (random_number() % 4 ? headers : 4096);
        uint64_t number = odd_number();

        if (random_number() % 2) {
            page[at] = (unsigned char)number;
        } else {
            at &= ~(size_t)7;
            memcpy(page + at, &number, sizeof(number));
        }
    }
}

static void damaged_files_do_no_harm(void **state)
{
    struct listing before;
    unsigned char page[4096];
    int fd = image_file(), opened = 0;

    (void)state;
    before = list();
    for (int i = 0; i < 20000; i++) {
        memcpy(page, image, sizeof(page));
        mutate(page);
        must_equal(pwrite(fd, page, sizeof(page), 0), sizeof(page));
        opened += try(fd) > 0;
        if (i % 64 == 0)
            check_listing(&before);
    }
    check_listing(&before);
    assert_in_range(opened, 1000, 19999); /* most damage is of no account */
    close(fd);
}

static void damaged_objects_in_memory_do_no_harm(void **state)
{
    unsigned char *memory =
        mmap(NULL, image_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    uintptr_t start = (uintptr_t)memory, end = sta__page_up(start + image_size);
    int opened = 0;

    (void)state;
    must(memory != MAP_FAILED);
    memcpy(memory, image, image_size);
    for (int i = 0; i < 20000; i++) {
        struct sta__object object = {.header = start};

        sta__object_add_readable(&object, start, end);
        memcpy(memory, image, 4096);
        mutate(memory);
        if (sta__object_open(&object) == 0 && walk(&object) > 0)
            opened++;
    }
    assert_in_range(opened, 1000, 19999);
    munmap(memory, image_size);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_objects_of_this_process_are_opened),
        cmocka_unit_test(what_is_not_readable_is_not_looked_at),
        cmocka_unit_test(the_code_in_a_file_is_that_in_memory),
        cmocka_unit_test_setup(a_file_that_is_cut_off_anywhere_is_refused_or_whole, read_library),
        cmocka_unit_test_setup(what_is_no_file_for_this_machine_is_refused, read_library),
        cmocka_unit_test_setup(headers_that_lie_elsewhere_are_refused, read_library),
        cmocka_unit_test_setup(segments_that_overflow_are_refused, read_library),
        cmocka_unit_test_setup(segments_that_are_not_aligned_are_refused, read_library),
        cmocka_unit_test_setup(what_is_no_file_is_refused, read_library),
        cmocka_unit_test_setup(a_file_of_less_than_a_page_is_opened, read_library),
        cmocka_unit_test_setup(damaged_files_do_no_harm, read_library),
        cmocka_unit_test_setup(damaged_objects_in_memory_do_no_harm, read_library),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
