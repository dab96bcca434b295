/* SPDX-License-Identifier: MIT */
/*
 * Object files that lie: cut off, with bytes changed anywhere, in the headers, in the types, in the
 * relocations. Each is refused with a message or loads; none brings the process down or leaves
 * anything behind. STA_TEST_VARIANTS=N: so many of them.
 */
#define TEST_METHOD STA_METHOD_AUTO
#include "intercept.h"

#include <elf.h>
#include <sys/stat.h>

#if UNDER_ASAN
void __lsan_do_leak_check(void);

/* libbpf 1.1 forgets some of its own memory after some errors of CO-RE. What the library allocates
 * for it has no frame of libbpf's: unwinding ends at the entry. */
const char *__lsan_default_suppressions(void);

const char *__lsan_default_suppressions(void)
{
    return "leak:libbpf.so\n";
}
#endif

#define VARIANTS   1000
#define PER_VICTIM 100 /* one process loads so many, so that a failure is found */

static const char *const names[] = {"sections", "registers", "typed", "maps", "past_end"};

struct file {
    unsigned char *data;
    size_t size;
};

static struct file read_object(const char *name)
{
    char path[512];
    struct stat stat;
    struct file file;
    int fd;

    snprintf(path, sizeof(path), "%s/%s.bpf.o", BPF_OBJECT_DIR, name);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    CHECK_EQ(fstat(fd, &stat), 0);
    file.size = (size_t)stat.st_size;
    file.data = malloc(file.size);
    CHECK_EQ(read(fd, file.data, file.size), file.size);
    close(fd);
    return file;
}

/* splitmix64 */
static uint64_t seed;

static uint64_t random_number(void)
{
    uint64_t z = seed += 0x9e3779b97f4a7c15;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

static size_t below(size_t limit)
{
    return limit ? random_number() % limit : 0;
}

static int errors;
static char last_error[512], all_errors[4096];

static void count_errors(void *data, enum sta_log_level level, const char *message)
{
    (void)data;
    if (level == STA_LOG_ERROR) {
        errors++;
        snprintf(last_error, sizeof(last_error), "%s", message);
        if (strlen(all_errors) + strlen(message) + 2 < sizeof(all_errors))
            strcat(strcat(all_errors, message), "\n");
    }
}

/* Opens and loads. 0 or -errno: then something was said. */
static int try(struct sta *sta, const void *data, size_t size)
{
    const struct sta_object_options options = {.size = sizeof(options),
                                               .data = data,
                                               .data_size = size,
                                               .flags = STA_OBJECT_SKIP_UNSUPPORTED};
    struct sta_object *object = NULL;
    int err;

    errors = 0;
    all_errors[0] = '\0';
    err = sta_object_open_with(&object, sta, &options);
    if (err == 0)
        err = sta_object_load(object);
    if (err < 0 && errors == 0)
        victim_failed("refused (%d) without a message", err);
    sta_object_close(object);
    return err;
}

static struct sta *listening_registry(void)
{
    const struct sta_options options = {.size = sizeof(options), .log = count_errors};
    struct sta *sta;

    CHECK_EQ(sta_new(&sta, &options), 0);
    return sta;
}

static void check_leaks(void)
{
#if UNDER_ASAN
    __lsan_do_leak_check();
#endif
}

/* In a section of one of these kinds; or anywhere. */
static void place_of(const struct file *file, size_t *at, size_t *size)
{
    const Elf64_Ehdr *head = (const void *)file->data;
    const Elf64_Shdr *sections = (const void *)(file->data + head->e_shoff);
    const Elf64_Shdr *section;

    *at = 0;
    *size = file->size;
    switch (below(6)) {
    case 0: /* the header */
        *size = sizeof(*head);
        break;
    case 1: /* the sections' headers */
        *at = head->e_shoff;
        *size = head->e_shnum * sizeof(*sections);
        break;
    case 2:
        break; /* anywhere */
    default:   /* types, symbols, relocations, strings, code */
        section = &sections[below(head->e_shnum)];
        if (section->sh_type != SHT_NOBITS && section->sh_size) {
            *at = section->sh_offset;
            *size = section->sh_size;
        }
    }
}

static void change(struct file *file)
{
    static const uint32_t values[] = {0, 1, 2, 0x7f, 0xff, 0x7fff, 0xffff, 0x7fffffff, 0xffffffff};
    size_t at, size;

    place_of(file, &at, &size);
    for (size_t count = 1 + below(4); count > 0; count--) {
        size_t where = at + below(size);
        uint32_t value = values[below(COUNT_OF(values))];

        switch (below(3)) {
        case 0:
            file->data[where] ^= (unsigned char)(1u << below(8));
            break;
        case 1:
            file->data[where] = (unsigned char)random_number();
            break;
        default:
            where &= ~(size_t)3;
            if (where + sizeof(value) <= file->size)
                memcpy(file->data + where, &value, sizeof(value));
        }
    }
}

static struct file copy_of(const struct file *file)
{
    struct file copy = {malloc(file->size), file->size};

    memcpy(copy.data, file->data, file->size);
    return copy;
}

static unsigned first_variant;
static int refused, loaded;

static void try_variants(unsigned first, unsigned count)
{
    struct sta *sta = listening_registry();
    struct file files[COUNT_OF(names)];

    for (size_t i = 0; i < COUNT_OF(names); i++)
        files[i] = read_object(names[i]);
    for (unsigned i = first; i < first + count; i++) {
        struct file variant = copy_of(&files[i % COUNT_OF(names)]);

        seed = i * 1000003u;
        change(&variant);
        if (try(sta, variant.data, variant.size) < 0)
            refused++;
        else
            loaded++;
        free(variant.data);
    }
    for (size_t i = 0; i < COUNT_OF(names); i++)
        free(files[i].data);
    sta_free(sta);
}

VICTIM(variants)
{
    try_variants(first_variant, PER_VICTIM);
    /* Most are refused, and some changes do not matter: both have to occur. */
    CHECK(refused > 0);
    CHECK(loaded > 0);
    check_leaks();
}

static void changed_bytes_do_no_harm(void **state)
{
    const char *text = getenv("STA_TEST_VARIANTS");
    unsigned long count = text ? strtoul(text, NULL, 10) : VARIANTS;

    for (first_variant = 0; first_variant < count; first_variant += PER_VICTIM) {
        print_message("variants from %u\n", first_variant);
        variants(state);
    }
}

VICTIM(files_that_are_cut_off_are_refused)
{
    struct sta *sta = listening_registry();

    for (size_t i = 0; i < COUNT_OF(names); i++) {
        struct file file = read_object(names[i]);
        size_t step = file.size / 40 + 1;

        if (try(sta, file.data, file.size) != 0)
            victim_failed("%s, as it is, is refused: %s", names[i], last_error);
        for (size_t size = 0; size < file.size; size += step) {
            void *cut = malloc(size ? size : 1);

            memcpy(cut, file.data, size);
            if (try(sta, cut, size) != -EINVAL)
                victim_failed("%s, %zu bytes of %zu: not refused", names[i], size, file.size);
            free(cut);
        }
        free(file.data);
    }
    sta_free(sta);
    check_leaks();
}

/* The section of this name, which is there. */
static Elf64_Shdr *section_of(struct file *file, const char *name)
{
    const Elf64_Ehdr *head = (const void *)file->data;
    Elf64_Shdr *sections = (void *)(file->data + head->e_shoff);
    const char *strings = (const char *)file->data + sections[head->e_shstrndx].sh_offset;

    for (unsigned i = 1; i < head->e_shnum; i++) {
        if (strcmp(strings + sections[i].sh_name, name) == 0)
            return &sections[i];
    }
    victim_failed("no section %s", name);
}

VICTIM(each_lie_is_called_one)
{
    struct sta *sta = listening_registry();
    struct file good = read_object("sections");
    static const struct {
        const char *section;
        size_t at; /* in it */
        uint32_t value;
        const char *says;
    } lies[] = {
        {".BTF", 0, 0, "Invalid magic"},
        {".BTF", 4, 1 << 20, "Invalid header length"},
        {".BTF", 12, 1 << 20, "section"},
        {".BTF", 24 + 8, 77777, "Invalid type_id"}, /* of the first type, a pointer */
        {".BTF", 24, 1 << 20, "Invalid name"},
        {".BTF.ext", 0, 0, "BTF.ext"},
        {".BTF.ext", 12, 1 << 20, "functions"},
        {".BTF.ext", 28, 1 << 20, "relocations"},
        {".reltracepoint/syscalls/sys_enter_getppid", 0, 1 << 20, "past its section's end"},
        {".reltracepoint/syscalls/sys_enter_getppid", 12, 1 << 20, "of no symbol"},
    };

    for (size_t i = 0; i < COUNT_OF(lies); i++) {
        struct file file = copy_of(&good);
        const Elf64_Shdr *section = section_of(&file, lies[i].section);

        memcpy(file.data + section->sh_offset + lies[i].at, &lies[i].value, sizeof(uint32_t));
        CHECK_EQ(try(sta, file.data, file.size), -EINVAL);
        if (!strstr(all_errors, lies[i].says))
            victim_failed("not '%s' is said but: %s", lies[i].says, all_errors);
        free(file.data);
    }
    free(good.data);
    sta_free(sta);
    check_leaks();
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_that_are_cut_off_are_refused),
        cmocka_unit_test(each_lie_is_called_one),
        cmocka_unit_test(changed_bytes_do_no_harm),
    };

    if (!*BPF_OBJECT_DIR) {
        printf("skipped: no clang that compiles for BPF\n");
        return VICTIM_SKIPPED;
    }
    return run_interception_tests(argc, argv, tests);
}
