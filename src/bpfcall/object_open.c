/* SPDX-License-Identifier: MIT */
/* Opening: see object.h. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "attach/registry.h"
#include "base/compiler.h"
#include "base/options.h"
#include "bpfcall/object.h"
#include "bpfcall/own_btf.h"

#define OPTIONS_FIRST_SIZE sizeof(struct sta_object_options)
#define FILE_SIZE_MAX      (256 << 20)

/* libbpf has one function for what it says, of the whole process. */
static pthread_mutex_t libbpf_mutex = PTHREAD_MUTEX_INITIALIZER;
static libbpf_print_fn_t libbpf_others;
static STA__THREAD_LOCAL struct sta_object *libbpf_object;

static int print(enum libbpf_print_level level, const char *format, va_list args)
{
    char text[1024], *line = text, *end;

    if (!libbpf_object)
        return libbpf_others ? libbpf_others(level, format, args) : 0;
    if (level == LIBBPF_DEBUG)
        return 0;
    vsnprintf(text, sizeof(text), format, args);
    for (; *line; line = end) {
        end = strchr(line, '\n');
        if (end)
            *end++ = '\0';
        else
            end = line + strlen(line);
        if (*line)
            sta__log(&libbpf_object->log, level == LIBBPF_WARN ? STA_LOG_WARN : STA_LOG_INFO, "%s",
                     line);
    }
    return 0;
}

void sta__libbpf_begin(struct sta_object *object)
{
    pthread_mutex_lock(&libbpf_mutex);
    libbpf_object = object;
    libbpf_others = libbpf_set_print(print);
}

void sta__libbpf_end(void)
{
    libbpf_set_print(libbpf_others);
    libbpf_object = NULL;
    pthread_mutex_unlock(&libbpf_mutex);
}

static int refuse(const struct sta_object *object, int error, const char *why)
{
    sta__log(&object->log, STA_LOG_ERROR, "object '%s': %s", object->name, why);
    return error;
}

static int read_all(int fd, char *data, size_t size)
{
    for (size_t done = 0; done < size;) {
        ssize_t got = read(fd, data + done, size - done);

        if (got < 0 && errno != EINTR)
            return -errno;
        if (got == 0)
            return -EIO;
        done += got > 0 ? (size_t)got : 0;
    }
    return 0;
}

static int read_open(const struct sta_object *object, int fd, void **data, size_t *size)
{
    struct stat file;
    int err;

    if (fstat(fd, &file) < 0)
        return refuse(object, -errno, strerror(errno));
    if (!S_ISREG(file.st_mode) || file.st_size > FILE_SIZE_MAX)
        return refuse(object, -EINVAL, "it is no file of a size that programs have");
    *size = (size_t)file.st_size;
    *data = malloc(*size ? *size : 1);
    if (!*data)
        return refuse(object, -ENOMEM, "no memory");
    err = read_all(fd, *data, *size);
    if (err < 0) {
        free(*data);
        *data = NULL;
        return refuse(object, err, strerror(-err));
    }
    return 0;
}

static int read_file(const struct sta_object *object, const char *path, void **data, size_t *size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC), err;

    if (fd < 0)
        return refuse(object, -errno, strerror(errno));
    err = read_open(object, fd, data, size);
    close(fd);
    return err;
}

/* The name without directory, and without ".bpf.o". */
static void set_name(struct sta_object *object, const struct sta_object_options *options)
{
    const char *name = options->name, *slash;
    size_t size;

    if (!name)
        name = options->path ? options->path : "memory";
    slash = strrchr(name, '/');
    name = slash ? slash + 1 : name;
    size = strcspn(name, ".");
    if (size >= sizeof(object->name))
        size = sizeof(object->name) - 1;
    memcpy(object->name, name, size);
}

/* Programs that cannot be attached here are refused, or left out. */
static int judge_programs(struct sta_object *object)
{
    struct bpf_program *program;
    struct sta_target target;
    size_t count = 0;

    bpf_object__for_each_program(program, object->file)
    {
        const char *section = bpf_program__section_name(program);
        const char *name = bpf_program__name(program);
        bool is_skipped = object->flags & STA_OBJECT_SKIP_UNSUPPORTED;

        count++;
        if (!bpf_program__autoload(program) ||
            sta__section_parse(section, &target) != STA__SECTION_UNSUPPORTED)
            continue;
        sta__log(
            &object->log, is_skipped ? STA_LOG_WARN : STA_LOG_ERROR,
            "object '%s': program '%s' in section '%s': nothing that can be attached to here%s",
            object->name, name, section, is_skipped ? "; it is left out" : "");
        if (!is_skipped)
            return -ENOTSUP;
        bpf_program__set_autoload(program, false);
    }
    object->attached = calloc(count + 1, sizeof(*object->attached));
    return object->attached ? 0 : refuse(object, -ENOMEM, "no memory");
}

/* Whether loading can do without the kernel's BTF. */
static bool needs_no_kernel_btf(const struct sta_object *object, const void *data, size_t size)
{
    const struct btf *types = bpf_object__btf(object->file);
    struct btf *own;
    const void *ext;
    size_t ext_size;
    bool suffices;

    ext = sta__elf_section(data, size, ".BTF.ext", &ext_size);
    if (!types || !ext)
        return true;
    own = sta__own_btf_new();
    suffices = own && sta__own_btf_suffices(own, types, ext, ext_size);
    btf__free(own);
    return suffices;
}

static int open_data(struct sta_object *object, const struct sta_object_options *options,
                     const void *data, size_t size)
{
    LIBBPF_OPTS(bpf_object_open_opts, how, .object_name = object->name,
                .btf_custom_path = options->btf_path);
    const struct sta__log log = object->log;
    int err = sta__elf_check(data, size, &log);

    if (err < 0)
        return refuse(object, err, "it is no object file that can be loaded");
    sta__libbpf_begin(object);
    object->file = bpf_object__open_mem(data, size, &how);
    err = object->file ? 0 : -errno;
    sta__libbpf_end();
    if (err < 0)
        return refuse(object, err, "libbpf cannot read it");
    object->own_btf_suffices = !options->btf_path && needs_no_kernel_btf(object, data, size);
    return judge_programs(object);
}

static int open_options(struct sta_object *object, const struct sta_object_options *options)
{
    void *contents = NULL;
    size_t size = 0;
    int err;

    if (!options->path == !options->data || options->flags & ~STA_OBJECT_SKIP_UNSUPPORTED)
        return refuse(object, -EINVAL, "options that make no sense");
    if (!options->path)
        return open_data(object, options, options->data, options->data_size);
    err = read_file(object, options->path, &contents, &size);
    if (err == 0)
        err = open_data(object, options, contents, size);
    free(contents);
    return err;
}

int sta_object_open_with(struct sta_object **out, struct sta *sta,
                         const struct sta_object_options *given)
{
    struct sta_object_options options;
    struct sta_object *object;
    int err;

    if (!out || !sta || !given)
        return -EINVAL;
    err = sta__options_copy(&options, sizeof(options), OPTIONS_FIRST_SIZE, given);
    if (err < 0)
        return err;
    object = calloc(1, sizeof(*object));
    if (!object)
        return -ENOMEM;
    object->sta = sta;
    object->flags = options.flags;
    object->log = options.log ? (struct sta__log){options.log, options.log_data} : sta->log;
    set_name(object, &options);
    err = open_options(object, &options);
    if (err < 0)
        sta_object_close(object);
    else
        *out = object;
    return err;
}

int sta_object_open(struct sta_object **out, struct sta *sta, const char *path)
{
    const struct sta_object_options options = {.size = sizeof(options), .path = path};

    return path ? sta_object_open_with(out, sta, &options) : -EINVAL;
}
