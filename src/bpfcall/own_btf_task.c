/* SPDX-License-Identifier: MIT */
/*
 * The structs of the task's image (ebpf/task.h) as types, with their members where the image has
 * them: that is where the running kernel has them, if that is known. A pair of nested members is
 * known by the place of the inner one only, so the outer one begins there.
 */
#include <errno.h>

#include "bpfcall/own_btf.h"
#include "ebpf/task.h"

#define BITS_PER_BYTE 8
#define NAME_MAX_SIZE 32

/* What members are. */
enum member_type {
    NUMBER,
    SIGNED_NUMBER,
    LONG_NUMBER,
    NAME,
    USER_ID,
    GROUP_ID,
    NAMESPACE,
    UTS_NAMES,
    PID_NUMBERS,
    MEMBER_TYPES,
    POINTER, /* to the object in `target` */
};

/* Ids: pointers to all objects, then those of `plain`, then the objects. */
struct adding {
    struct btf *btf;
    int err;
    int pointers;
    int plain[MEMBER_TYPES];
};

static int note(struct adding *adding, int result)
{
    if (result < 0 && adding->err == 0)
        adding->err = result;
    return result;
}

static int basic(struct adding *adding, const char *name)
{
    return note(adding, btf__find_by_name_kind(adding->btf, name, BTF_KIND_INT));
}

static void add_member(struct adding *adding, const char *name, int type, uint32_t offset)
{
    note(adding, btf__add_field(adding->btf, name, type, offset * BITS_PER_BYTE, 0));
}

static int add_array(struct adding *adding, int element, uint32_t count)
{
    return note(adding, btf__add_array(adding->btf, basic(adding, "int"), element, count));
}

/* struct { unsigned int member; } of this name or with that typedef. */
static int add_number_in(struct adding *adding, const char *structure, const char *member,
                         const char *alias)
{
    int number = basic(adding, "unsigned int");
    int id = note(adding, btf__add_struct(adding->btf, structure, 4));

    add_member(adding, member, number, 0);
    return alias ? note(adding, btf__add_typedef(adding->btf, alias, id)) : id;
}

static int add_uts_names(struct adding *adding)
{
    static const char *const names[] = {"sysname", "nodename", "release",
                                        "version", "machine",  "domainname"};
    int name = add_array(adding, basic(adding, "char"), 65);
    int id = note(adding, btf__add_struct(adding->btf, "new_utsname", 390));

    for (uint32_t i = 0; i < 6; i++)
        add_member(adding, names[i], name, 65 * i);
    return id;
}

static int pointer_to(const struct adding *adding, enum sta__task_object object)
{
    return adding->pointers + (int)object;
}

static int add_pid_numbers(struct adding *adding)
{
    uint32_t namespace_at =
        sta__task_offsets[STA__FIELD_PID_NS] - sta__task_offsets[STA__FIELD_PID_NUMBER];
    int id = note(adding, btf__add_struct(adding->btf, "upid", namespace_at + 8));

    add_member(adding, "nr", basic(adding, "int"), 0);
    add_member(adding, "ns", pointer_to(adding, STA__TASK_PID_NS), namespace_at);
    return add_array(adding, id, 1);
}

static void add_plain(struct adding *adding)
{
    int *plain = adding->plain;

    plain[NUMBER] = basic(adding, "unsigned int");
    plain[SIGNED_NUMBER] = basic(adding, "int");
    plain[LONG_NUMBER] = basic(adding, "unsigned long long");
    plain[NAME] = add_array(adding, basic(adding, "char"), 16);
    plain[USER_ID] = add_number_in(adding, NULL, "val", "kuid_t");
    plain[GROUP_ID] = add_number_in(adding, NULL, "val", "kgid_t");
    plain[NAMESPACE] = add_number_in(adding, "ns_common", "inum", NULL);
    plain[UTS_NAMES] = add_uts_names(adding);
    plain[PID_NUMBERS] = add_pid_numbers(adding);
}

static enum sta__task_object target_of(unsigned field)
{
    switch (field) {
    case STA__FIELD_THREAD_PID:
        return STA__TASK_PID;
    case STA__FIELD_REAL_CRED:
    case STA__FIELD_CRED:
        return STA__TASK_CRED;
    case STA__FIELD_NSPROXY:
        return STA__TASK_NSPROXY;
    case STA__FIELD_NSPROXY_UTS:
        return STA__TASK_UTS;
    case STA__FIELD_NSPROXY_IPC:
        return STA__TASK_IPC;
    case STA__FIELD_NSPROXY_MNT:
        return STA__TASK_MNT;
    case STA__FIELD_NSPROXY_PID:
        return STA__TASK_PID_NS;
    case STA__FIELD_NSPROXY_NET:
        return STA__TASK_NET;
    case STA__FIELD_NSPROXY_TIME:
        return STA__TASK_TIME;
    case STA__FIELD_NSPROXY_CGROUP:
        return STA__TASK_CGROUP;
    case STA__FIELD_CRED_USER:
        return STA__TASK_USER;
    default: /* real_parent, parent, group_leader */
        return STA__TASK_TASK;
    }
}

static enum member_type type_of(unsigned field)
{
    switch (field) {
    case STA__FIELD_PID:
    case STA__FIELD_TGID:
    case STA__FIELD_EXIT_CODE:
        return SIGNED_NUMBER;
    case STA__FIELD_FLAGS:
        return NUMBER;
    case STA__FIELD_START_TIME:
    case STA__FIELD_START_BOOTTIME:
        return LONG_NUMBER;
    case STA__FIELD_COMM:
        return NAME;
    case STA__FIELD_UID:
    case STA__FIELD_SUID:
    case STA__FIELD_EUID:
    case STA__FIELD_FSUID:
        return USER_ID;
    case STA__FIELD_GID:
    case STA__FIELD_SGID:
    case STA__FIELD_EGID:
    case STA__FIELD_FSGID:
        return GROUP_ID;
    case STA__FIELD_PID_NUMBER:
        return PID_NUMBERS;
    case STA__FIELD_UTS_NAME:
        return UTS_NAMES;
    default:
        return sta__task_members[field].size == 8 ? POINTER : NAMESPACE;
    }
}

static uint32_t size_of(enum sta__task_object object)
{
    uint32_t size = 0;

    for (unsigned field = 0; field < STA__TASK_FIELDS; field++) {
        uint32_t end = sta__task_offsets[field] + sta__task_members[field].size;

        if (sta__task_members[field].object == object &&
            sta__task_offsets[field] != STA__TASK_ABSENT && end > size)
            size = end;
    }
    return (size + 7) & ~7u;
}

/* "ns" of "ns.inum"; BTF copies it. */
static void add_field(struct adding *adding, unsigned field)
{
    char name[NAME_MAX_SIZE] = {0};
    enum member_type type = type_of(field);

    for (size_t i = 0;
         sta__task_members[field].member[i] && sta__task_members[field].member[i] != '.'; i++)
        name[i] = sta__task_members[field].member[i];
    add_member(adding, name,
               type == POINTER ? pointer_to(adding, target_of(field)) : adding->plain[type],
               sta__task_offsets[field]);
}

static void add_object(struct adding *adding, enum sta__task_object object)
{
    const char *name = NULL;

    for (unsigned field = 0; field < STA__TASK_FIELDS; field++) {
        if (sta__task_members[field].object == object)
            name = sta__task_members[field].structure;
    }
    note(adding, btf__add_struct(adding->btf, name, size_of(object)));
    for (unsigned field = 0; field < STA__TASK_FIELDS; field++) {
        if (sta__task_members[field].object == object && field != STA__FIELD_PID_NS &&
            sta__task_offsets[field] != STA__TASK_ABSENT)
            add_field(adding, field);
    }
}

/* How many types add_plain() adds, besides the basic ones that there are: arrays, structs, aliases.
 */
#define PLAIN_COUNT 10

int sta__own_btf_add_task(struct btf *btf)
{
    struct adding adding = {.btf = btf, .pointers = (int)btf__type_cnt(btf)};
    int objects = adding.pointers + STA__TASK_OBJECTS + PLAIN_COUNT;

    for (int object = 0; object < STA__TASK_OBJECTS; object++)
        note(&adding, btf__add_ptr(btf, objects + object));
    add_plain(&adding);
    if (adding.err == 0 && (int)btf__type_cnt(btf) != objects)
        return -EINVAL;
    for (int object = 0; object < STA__TASK_OBJECTS; object++)
        add_object(&adding, (enum sta__task_object)object);
    return adding.err;
}
