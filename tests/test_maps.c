/* SPDX-License-Identifier: MIT */
/*
 * Reading /proc/self/maps, against a reader that uses libc, and with the oddest of paths.
 */
#include "core.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "transform/maps.h"

#define PAGE 4096ul

/* The file as it is, for as long as nobody maps anything. */
static char content[1 << 20];

static void read_content(void)
{
    int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
    size_t used = 0;
    ssize_t got;

    must(fd >= 0);
    while ((got = read(fd, content + used, sizeof(content) - 1 - used)) > 0)
        used += (size_t)got;
    must_equal(got, 0);
    content[used] = '\0';
    close(fd);
}

static unsigned count_lines(void)
{
    unsigned lines = 0;

    read_content();
    for (const char *at = content; (at = strchr(at, '\n')); at++)
        lines++;
    return lines;
}

struct comparison {
    const char *line; /* the next one; NULL: nothing has been read */
    unsigned count;
};

static void compare(const struct sta__map *map, const char *line)
{
    unsigned long start, end, offset, inode;
    unsigned major, minor;
    char access[5];
    int used = -1;

    must_equal(sscanf(line, "%lx-%lx %4s %lx %x:%x %lu%n", &start, &end, access, &offset, &major,
                      &minor, &inode, &used),
               7);
    must_equal(map->start, start);
    must_equal(map->end, end);
    must_equal(map->offset, offset);
    must_equal(map->device, (uint64_t)major << 32 | minor);
    must_equal(map->inode, inode);
    must_equal(map->readable, access[0] == 'r');
    must_equal(map->writable, access[1] == 'w');
    must_equal(map->executable, access[2] == 'x');
    must_equal(map->shared, access[3] == 's');
    line += used;
    line += strspn(line, " ");
    must_equal(strcspn(line, "\n"), strlen(map->path));
    must_equal(strncmp(line, map->path, strlen(map->path)), 0);
}

static bool compare_next(const struct sta__map *map, void *data)
{
    struct comparison *comparison = data;

    if (!comparison->line) { /* here, because the reader has memory of its own mapped */
        read_content();
        comparison->line = content;
    }
    must(*comparison->line);
    compare(map, comparison->line);
    comparison->line = strchr(comparison->line, '\n') + 1;
    comparison->count++;
    return true;
}

static void compare_all(void)
{
    struct comparison comparison = {NULL, 0};

    must_equal(sta__maps_each(compare_next, &comparison), 0);
    must(comparison.count > 5);
    must_equal(*comparison.line, '\0');
}

static void every_line_is_read_as_another_reader_does(void **state)
{
    void *pages[512];

    (void)state;
    compare_all();
    /* Lines on both sides of every boundary between two reads. */
    for (size_t i = 0; i < COUNT(pages); i++) {
        pages[i] = mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        must(pages[i] != MAP_FAILED);
        must_equal(mprotect((char *)pages[i] + PAGE, PAGE, (int)(i % 8) & ~PROT_WRITE), 0);
    }
    compare_all();
    for (size_t i = 0; i < COUNT(pages); i++)
        munmap(pages[i], 3 * PAGE);
}

/* Paths */

struct wanted {
    const void *start;
    bool found;
    char path[32768];
};

static struct wanted wanted;

static bool keep_wanted(const struct sta__map *map, void *data)
{
    struct wanted *look = data;

    if (map->start != (uintptr_t)look->start)
        return true;
    look->found = true;
    must(strlen(map->path) < sizeof(look->path));
    strcpy(look->path, map->path);
    return false;
}

/* The path of what is mapped there. */
static const char *path_at(const void *start)
{
    wanted.start = start;
    wanted.found = false;
    must_equal(sta__maps_each(keep_wanted, &wanted), 0);
    must(wanted.found);
    return wanted.path;
}

static const void *map_new_file(int directory, const char *name)
{
    int fd = openat(directory, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    void *page;

    must(fd >= 0);
    must_equal(ftruncate(fd, PAGE), 0);
    page = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, 0);
    must(page != MAP_FAILED);
    close(fd);
    return page;
}

/* A new directory; its real path is in `path`. */
static int make_directory(char path[PATH_MAX])
{
    char name[] = "/tmp/test_maps.XXXXXX";
    int directory;

    must(mkdtemp(name) != NULL);
    must(realpath(name, path) != NULL);
    directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    must(directory >= 0);
    return directory;
}

static void check_name(const char *name, const char *shown)
{
    char path[PATH_MAX];
    int directory = make_directory(path);
    const void *page = map_new_file(directory, name);

    compare_all();
    assert_string_equal(path_at(page) + strlen(path) + 1, shown);
    assert_memory_equal(path_at(page), path, strlen(path));
    must_equal(unlinkat(directory, name, 0), 0);
    must_equal(rmdir(path), 0);
    assert_string_equal(path_at(page) + strlen(path_at(page)) - 10, " (deleted)");
    compare_all();
    munmap((void *)page, PAGE);
    close(directory);
}

static void odd_names_are_kept(void **state)
{
    (void)state;
    check_name("plain", "plain");
    check_name("with  two spaces", "with  two spaces");
    check_name(" leading", " leading");
    check_name("trailing ", "trailing ");
    check_name("new\nline", "new\\012line");
    check_name("\n", "\\012");
    check_name("back\\012slash", "back\\012slash");
    check_name("x (deleted)", "x (deleted)");
    check_name("\xff\xfe tab\t", "\xff\xfe tab\t");
}

/* `depth` directories in each other, whose names are this letter 250 times; a file in the last. */
static void check_long_path(char letter, int depth, size_t shown_size)
{
    char path[PATH_MAX], name[251];
    int directories[32];
    const void *page;

    must(depth < (int)COUNT(directories));
    memset(name, letter, 250);
    name[250] = '\0';
    directories[0] = make_directory(path);
    for (int i = 1; i < depth; i++) {
        must_equal(mkdirat(directories[i - 1], name, 0700), 0);
        directories[i] = openat(directories[i - 1], name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        must(directories[i] >= 0);
    }
    page = map_new_file(directories[depth - 1], name);
    assert_int_equal(strlen(path_at(page)), strlen(path) + (size_t)depth * (1 + shown_size));
    assert_memory_equal(path_at(page), path, strlen(path));
    compare_all();
    munmap((void *)page, PAGE);
    must_equal(unlinkat(directories[depth - 1], name, 0), 0);
    for (int i = depth - 1; i > 0; i--) {
        close(directories[i]);
        must_equal(unlinkat(directories[i - 1], name, AT_REMOVEDIR), 0);
    }
    close(directories[0]);
    must_equal(rmdir(path), 0);
}

static void paths_of_four_thousand_characters_are_kept(void **state)
{
    (void)state;
    check_long_path('x', 16, 250);
    check_long_path('\n', 16, 1000); /* each takes four */
}

/* The end */

static bool count_to_three(const struct sta__map *map, void *data)
{
    (void)map;
    return ++*(int *)data < 3;
}

static void it_ends_when_told(void **state)
{
    unsigned before = count_lines();
    int visits = 0, next = dup(0);

    (void)state;
    close(next);
    for (int i = 0; i < 2000; i++) {
        visits = 0;
        assert_int_equal(sta__maps_each(count_to_three, &visits), 0);
        assert_int_equal(visits, 3);
    }
    assert_int_equal(count_lines(), before);
    assert_int_equal(dup(0), next); /* no file is left open */
    close(next);
}

static bool look_inside(const struct sta__map *map, void *data)
{
    int visits = 0;

    (void)map;
    must_equal(sta__maps_each(count_to_three, &visits), 0);
    must_equal(visits, 3);
    return ++*(int *)data < 10;
}

static void a_visitor_may_look_for_himself(void **state)
{
    int visits = 0;

    (void)state;
    assert_int_equal(sta__maps_each(look_inside, &visits), 0);
    assert_int_equal(visits, 10);
}

static void without_files_or_memory(void *unused)
{
    const struct rlimit none = {0, 0};
    int visits = 0;

    (void)unused;
    must_equal(setrlimit(RLIMIT_AS, &none), 0);
    must_equal(sta__maps_each(count_to_three, &visits), -ENOMEM);
    must_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    must_equal(sta__maps_each(count_to_three, &visits), -EMFILE);
    must_equal(visits, 0);
}

static void what_is_missing_is_an_error(void **state)
{
    (void)state;
    in_child(without_files_or_memory, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_line_is_read_as_another_reader_does),
        cmocka_unit_test(odd_names_are_kept),
        cmocka_unit_test(paths_of_four_thousand_characters_are_kept),
        cmocka_unit_test(it_ends_when_told),
        cmocka_unit_test(a_visitor_may_look_for_himself),
        cmocka_unit_test(what_is_missing_is_an_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
